// Every instruction that C++ has no name for: on the device inline PTX, and beside it a host twin that does the same to
// the shim's memory, lane by lane, as the PTX manual (ISA 8.x) states it. Kernels use no other inline assembly.
//
// What a twin does not know: the order and width in which the tensor core sums (the twin sums in double and rounds
// once), and the last two bits of ex2.approx. Not yet compared with a GPU.
#pragma once
#include <math.h>

#include "cuda/numbers.cuh"

namespace laim::cuda {

// ---- barriers -------------------------------------------------------------------------------------------------------

LAIM_DEVICE void block_barrier([[maybe_unused]] Site site = Site()) {
#ifdef __CUDACC__
  __syncthreads();
#else
  shim::block_barrier(site);
#endif
}

// Orders the memory accesses of a warp's lanes.
LAIM_DEVICE void warp_barrier([[maybe_unused]] Site site = Site()) {
#ifdef __CUDACC__
  __syncwarp();
#else
  shim::warp_barrier(site);
#endif
}

// ---- shuffle --------------------------------------------------------------------------------------------------------

// shfl.sync.bfly: the value that the lane (own lane xor mask) brought. Moves registers only, orders no memory.
LAIM_DEVICE float shuffle_xor(float value, int mask, [[maybe_unused]] Site site = Site()) {
#ifdef __CUDACC__
  return __shfl_xor_sync(0xffffffffu, value, mask);
#else
  struct Lane {
    float value, result;
    int mask;
  } own = {value, 0, mask};
  shim::warp_collective("shfl.sync", site, &own, [](void* const(&lanes)[32]) {
    for (int lane = 0; lane < 32; ++lane) {
      Lane& to = *static_cast<Lane*>(lanes[lane]);
      to.result = static_cast<Lane*>(lanes[(lane ^ to.mask) & 31])->value;
    }
  });
  return own.result;
#endif
}

// ---- asynchronous copies, global to shared --------------------------------------------------------------------------

// cp.async.cg of 16 bytes: the first `valid` come from global memory, the rest are zeros. Both addresses must be
// multiples of 16. The bytes are there for this thread after cp_async_wait, for others after a barrier behind that.
LAIM_DEVICE void cp_async_16(void* shared, const void* global, int valid, [[maybe_unused]] Site site = Site()) {
#ifdef __CUDACC__
  const uint32_t to = static_cast<uint32_t>(__cvta_generic_to_shared(shared));
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(global), "r"(valid) : "memory");
#else
  shim::copy_async(shared, global, 16, valid, site);
#endif
}

// cp.async.ca of 4 bytes: from global memory, or zeros. Both addresses must be multiples of 4.
LAIM_DEVICE void cp_async_4(void* shared, const void* global, bool there, [[maybe_unused]] Site site = Site()) {
#ifdef __CUDACC__
  const uint32_t to = static_cast<uint32_t>(__cvta_generic_to_shared(shared));
  asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(to), "l"(global), "r"(there ? 4 : 0) : "memory");
#else
  shim::copy_async(shared, global, 4, there ? 4 : 0, site);
#endif
}

// Closes the group of the copies issued since the last commit.
LAIM_DEVICE void cp_async_commit([[maybe_unused]] Site site = Site()) {
#ifdef __CUDACC__
  asm volatile("cp.async.commit_group;" ::: "memory");
#else
  shim::commit_copies(site);
#endif
}

// Waits until at most `groups_left` of this thread's newest groups are still on their way.
template <int groups_left>
LAIM_DEVICE void cp_async_wait([[maybe_unused]] Site site = Site()) {
#ifdef __CUDACC__
  asm volatile("cp.async.wait_group %0;" ::"n"(groups_left) : "memory");
#else
  shim::wait_copies(groups_left, site);
#endif
}

// ---- ldmatrix -------------------------------------------------------------------------------------------------------

#ifndef __CUDACC__
// Four 8x8 matrices of 16-bit elements. Lane 8 i + r brings the address of row r of matrix i, 16 bytes each. Without
// .trans, lane l gets of each matrix elements (l / 4, 2 (l % 4)) and the next of that row; with .trans of its
// transpose.
struct LdmatrixLane {
  const void* row;
  uint32_t result[4];
};
template <bool transposed>
void ldmatrix_twin(void* const (&lanes)[32]) {
  uint16_t matrix[4][8][8];
  for (int lane = 0; lane < 32; ++lane)
    __builtin_memcpy(matrix[lane / 8][lane % 8], static_cast<LdmatrixLane*>(lanes[lane])->row, 16);
  for (int lane = 0; lane < 32; ++lane)
    for (int i = 0; i < 4; ++i) {
      const int row = lane / 4, column = lane % 4 * 2;
      const uint16_t low = transposed ? matrix[i][column][row] : matrix[i][row][column];
      const uint16_t high = transposed ? matrix[i][column + 1][row] : matrix[i][row][column + 1];
      static_cast<LdmatrixLane*>(lanes[lane])->result[i] = uint32_t(low) | uint32_t(high) << 16;
    }
}
#endif

template <bool transposed>
LAIM_DEVICE void ldmatrix_x4(uint32_t (&out)[4], const void* row, [[maybe_unused]] Site site = Site()) {
#ifdef __CUDACC__
  const uint32_t at = static_cast<uint32_t>(__cvta_generic_to_shared(row));
  if constexpr (transposed)
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
                 : "r"(at)
                 : "memory");
  else
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
                 : "r"(at)
                 : "memory");
#else
  LdmatrixLane own = {row, {}};
  shim::check_read(shim::Space::shared, row, 16, 16, site, true);
  shim::warp_collective("ldmatrix", site, &own, &ldmatrix_twin<transposed>);
  for (int i = 0; i < 4; ++i) out[i] = own.result[i];
#endif
}

// ---- mma.sync m16n8k16 ----------------------------------------------------------------------------------------------

#ifndef __CUDACC__
// D += A B, A (16, 16), B (16, 8), D (16, 8). With g = lane / 4, t = lane % 4, a lane holds
//   a[0] A(g, 2t..)     a[1] A(g + 8, 2t..)     a[2] A(g, 2t + 8..)     a[3] A(g + 8, 2t + 8..)
//   b[0] B(2t.., g)     b[1] B(2t + 8.., g)
//   d[0..1] D(g, 2t..)  d[2..3] D(g + 8, 2t..)
// where ".." is the element and its right (of B: lower) neighbour, in the lower and upper half of a register.
struct MmaLane {
  const uint32_t *a, *b;
  float* d;
};
template <class S>
void mma_16816_twin(void* const (&lanes)[32]) {
  double a[16][16], b[16][8];
  for (int lane = 0; lane < 32; ++lane) {
    const MmaLane& own = *static_cast<MmaLane*>(lanes[lane]);
    const int g = lane / 4, t = lane % 4;
    for (int i = 0; i < 4; ++i) {
      const Pair pair = unpack<S>(own.a[i]);
      const int row = g + i % 2 * 8, column = 2 * t + i / 2 * 8;
      a[row][column] = pair.first;
      a[row][column + 1] = pair.second;
    }
    for (int i = 0; i < 2; ++i) {
      const Pair pair = unpack<S>(own.b[i]);
      b[2 * t + i * 8][g] = pair.first;
      b[2 * t + i * 8 + 1][g] = pair.second;
    }
  }
  for (int lane = 0; lane < 32; ++lane) {
    const MmaLane& own = *static_cast<MmaLane*>(lanes[lane]);
    for (int i = 0; i < 4; ++i) {
      const int row = lane / 4 + i / 2 * 8, column = lane % 4 * 2 + i % 2;
      double sum = own.d[i];
      for (int k = 0; k < 16; ++k) sum += a[row][k] * b[k][column];
      own.d[i] = float(sum);
    }
  }
}
#endif

template <class S>
LAIM_DEVICE void mma_16816(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1,
                           [[maybe_unused]] Site site = Site()) {
#ifdef __CUDACC__
  static_assert(sizeof(S) == 2, "bf16 or fp16");
  if constexpr (is_same<S, bf16>)
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
  else
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#else
  const uint32_t b[2] = {b0, b1};
  MmaLane own = {a, b, d};
  shim::warp_collective("mma.sync", site, &own, &mma_16816_twin<S>);
#endif
}

// ---- arithmetic -----------------------------------------------------------------------------------------------------

// cvt.rn.{bf16x2,f16x2}.f32: both rounded to nearest even, `first` into the lower half.
template <class S>
LAIM_DEVICE Packed<S> pack(float first, float second) {
#ifdef __CUDACC__
  uint32_t both;
  if constexpr (is_same<S, bf16>)
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(both) : "f"(second), "f"(first));
  else
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(both) : "f"(second), "f"(first));
  return both;
#else
  return uint32_t(to_storage<S>(first).bits) | uint32_t(to_storage<S>(second).bits) << 16;
#endif
}
template <>
LAIM_DEVICE Pair pack<float>(float first, float second) {
  return {first, second};
}

constexpr float log2_e = 1.44269504f, log2_e_rest = 1.92596299e-8f,
                ln_2 = 0.69314718f;  // exponentials are to the base 2, as the hardware has them

// ex2.approx.ftz.f32: 2^x within 2 ulp, subnormal results are zero.
LAIM_DEVICE float exp2_approx(float x) {
#ifdef __CUDACC__
  float out;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(out) : "f"(x));
  return out;
#else
  const float out = exp2f(x);
  return out < 1.17549435e-38f ? 0.0f : out;
#endif
}

}  // namespace laim::cuda
