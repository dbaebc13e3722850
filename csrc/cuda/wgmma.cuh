// wgmma (sm_90a): products of a warpgroup of 128 threads, whose operands lie in shared memory as TMA puts them there
// with the 128-byte swizzle. As in ptx.cuh, beside the inline PTX of each instruction stands its host twin; it sums in
// double and rounds once per instruction. Not yet compared with a GPU.
#pragma once
#include "cuda/ptx_sm90.cuh"

namespace laim::cuda {

// ---- descriptors ----------------------------------------------------------------------------------------------------

// Where an operand lies. Along k contiguous: rows (of A; columns of B) of 128 bytes, which are 64 numbers along k;
// eight of them are 1024 bytes, and eight further ones follow. Along m (of B: n) contiguous, transposed: rows of 64
// numbers along m, one for each k; the next 64 numbers along m are `leading` bytes away. A step along k: 16 numbers, 32
// bytes within a row; transposed 16 rows, 2048 bytes.
constexpr int swizzled_group_bytes = 1024;
LAIM_DEVICE uint64_t operand_descriptor(const void* at, int leading_bytes) {
  constexpr uint64_t swizzle_128 = 1;
  return (uint64_t(shared_address(at)) & 0x3ffff) >> 4 | uint64_t(leading_bytes >> 4) << 16 |
         uint64_t(swizzled_group_bytes >> 4) << 32 | swizzle_128 << 62;
}
template <bool transposed>
LAIM_DEVICE uint64_t next_step(uint64_t descriptor, int step) {
  return descriptor + uint64_t(step * (transposed ? 2048 : 32) >> 4);
}

// ---- order ----------------------------------------------------------------------------------------------------------

// Keeps what the compiler does with the sums in registers on its side of this line.
template <int count>
LAIM_DEVICE void keep_order([[maybe_unused]] float (&d)[count]) {
#ifdef __CUDACC__
  LAIM_UNROLL
  for (int i = 0; i < count; ++i) asm volatile("" : "+f"(d[i])::"memory");
#endif
}

// Before the first wgmma of a group: orders it behind what the registers of the sums were used for.
template <int count>
LAIM_DEVICE void wgmma_fence(float (&d)[count], [[maybe_unused]] Site site = Site()) {
  keep_order(d);
#ifdef __CUDACC__
  asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
#else
  shim::wgmma_fence(site);
#endif
}

// The same where A comes from registers, `steps` fragments of it.
template <int count, int steps>
LAIM_DEVICE void wgmma_fence(float (&d)[count], [[maybe_unused]] uint32_t (&a)[steps][4], Site site = Site()) {
#ifdef __CUDACC__
  LAIM_UNROLL
  for (auto& fragment : a) {
    LAIM_UNROLL
    for (uint32_t& both : fragment) asm volatile("" : "+r"(both)::"memory");
  }
#endif
  wgmma_fence(d, site);
}

// Closes the group of the wgmmas issued since the last commit.
LAIM_DEVICE void wgmma_commit([[maybe_unused]] Site site = Site()) {
#ifdef __CUDACC__
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
#else
  shim::wgmma_commit(site);
#endif
}

// Waits until at most `groups_left` of the newest groups are still at work: those before have read their operands, in
// shared memory and in registers, and sums that no later one adds to are in d.
template <int groups_left, int count>
LAIM_DEVICE void wgmma_wait(float (&d)[count], [[maybe_unused]] Site site = Site()) {
#ifdef __CUDACC__
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(groups_left) : "memory");
#else
  shim::wgmma_wait(groups_left, site);
#endif
  keep_order(d);
}

// ---- m64nNk16 -------------------------------------------------------------------------------------------------------

#ifndef __CUDACC__
struct WgmmaThread {
  float* d;
  const uint32_t* registers;  // of A, or null: in shared memory
  uint64_t a, b;
  bool add;
  Site site;
};

struct WgmmaOperand {
  int64_t start, leading, stride;
  bool transposed;

  WgmmaOperand(uint64_t descriptor, bool transposed_, Site site)
      : start(int64_t(descriptor & 0x3fff) << 4),
        leading(int64_t(descriptor >> 16 & 0x3fff) << 4),
        stride(int64_t(descriptor >> 32 & 0x3fff) << 4),
        transposed(transposed_) {
    if (descriptor >> 62 != 1 || (descriptor >> 49 & 7) != 0)
      shim::fail("wgmma: the twin knows descriptors with the 128-byte swizzle and no base offset only", site);
    if ((transposed ? start % 1024 : start / 128 % 8) != 0)
      shim::fail("wgmma: the operand at shared+" + std::to_string(start) +
                     " does not begin where the swizzle's pattern of 1024 bytes does",
                 site);
  }
  // Of the 16 bytes that hold (row of A or column of B, k), and which of the eight it is.
  int64_t chunk(int row, int k) const {
    const int64_t plain = transposed ? start + row / 64 * leading + row % 64 / 8 * 16 + k / 8 * stride + k % 8 * 128
                                     : start + row / 8 * stride + row % 8 * 128 + k / 8 * 16;
    return plain ^ ((plain >> 7 & 7) << 4);
  }
};

// values[row][k] of `rows` rows from `first` on, read by one warp.
template <class S>
void read_operand(shim::WgmmaOperands& operands, const WgmmaOperand& from, int warp, int first, int rows,
                  double (*values)[16]) {
  for (int row = first; row < first + rows; row += from.transposed ? 8 : 1)
    for (int k = 0; k < 16; k += from.transposed ? 1 : 8) {
      S eight[8];
      __builtin_memcpy(eight, operands.read(warp, from.chunk(row, k), 16), 16);
      for (int i = 0; i < 8; ++i) (from.transposed ? values[row + i][k] : values[row][k + i]) = to_float(eight[i]);
    }
}

// values[row][k] of a warp's 16 rows of A in registers: those of mma's A (ptx.cuh).
template <class S>
void read_registers(const uint32_t* registers, int lane, double (*values)[16]) {
  for (int i = 0; i < 4; ++i)
    for (int half = 0; half < 2; ++half)
      values[lane / 4 + i % 2 * 8][lane % 4 * 2 + i / 2 * 8 + half] =
          to_float(S{uint16_t(registers[i] >> half * 16 & 0xffff)});
}

// Warp w has rows 16 w and following of D; of these a lane's d[4 j + i] is row lane / 4 + i / 2 * 8, column
// 8 j + lane % 4 * 2 + i % 2.
template <class S, int n, bool a_transposed, bool b_transposed>
void wgmma_twin(void* const (&threads)[128]) {
  constexpr int m = 64;
  const auto of = [&](int thread) -> const WgmmaThread& { return *static_cast<WgmmaThread*>(threads[thread]); };
  const Site site = of(0).site;
  for (int t = 0; t < 128; ++t)
    if (of(t).a != of(0).a || of(t).b != of(0).b || of(t).add != of(0).add)
      shim::fail("wgmma: the threads bring different descriptors", site);
  static double a[m][16], b[n][16];
  shim::WgmmaOperands operands(site);
  const WgmmaOperand from_b(of(0).b, b_transposed, site);
  for (int warp = 0; warp < 4; ++warp) {
    if (of(0).registers == nullptr)
      read_operand<S>(operands, WgmmaOperand(of(0).a, a_transposed, site), warp, warp * 16, 16, a);
    read_operand<S>(operands, from_b, warp, 0, n, b);
  }
  for (int t = 0; t < 128; ++t)
    if (of(t).registers) {
      operands.pin_registers(t, of(t).registers, 4);
      read_registers<S>(of(t).registers, t % 32, a + t / 32 * 16);
    }
  for (int t = 0; t < 128; ++t) {
    float* const d = operands.accumulator(t, of(t).d, n / 2);
    for (int e = 0; e < n / 2; ++e) {
      const int row = t / 32 * 16 + t % 32 / 4 + e % 4 / 2 * 8, column = e / 4 * 8 + t % 4 * 2 + e % 2;
      double sum = of(0).add ? d[e] : 0;
      for (int k = 0; k < 16; ++k) sum += a[row][k] * b[column][k];
      d[e] = float(sum);
    }
  }
}
#endif

#ifdef __CUDACC__
#define LAIM_EIGHT(d, i)                                                                                      \
  "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3]), "+f"(d[i + 4]), "+f"(d[i + 5]), "+f"(d[i + 6]), \
      "+f"(d[i + 7])
#define LAIM_THIRTY_TWO(d, i) LAIM_EIGHT(d, i), LAIM_EIGHT(d, i + 8), LAIM_EIGHT(d, i + 16), LAIM_EIGHT(d, i + 24)
// By the columns of D: its registers as operands of asm and in the text, then how the text names the others.
#define LAIM_SUMS_64(d) LAIM_THIRTY_TWO(d, 0)
#define LAIM_SUMS_128(d) LAIM_THIRTY_TWO(d, 0), LAIM_THIRTY_TWO(d, 32)
#define LAIM_SUMS_256(d) LAIM_SUMS_128(d), LAIM_THIRTY_TWO(d, 64), LAIM_THIRTY_TWO(d, 96)
#define LAIM_NAMES_64                                                      \
  "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, " \
  "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
#define LAIM_NAMES_128                                                                 \
  LAIM_NAMES_64                                                                        \
  ", %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, " \
  "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
#define LAIM_NAMES_256                                                                           \
  LAIM_NAMES_128                                                                                 \
  ", %64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, "           \
  "%80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95, "             \
  "%96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, %111, " \
  "%112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, %123, %124, %125, %126, %127"
#define LAIM_WGMMA(columns, type, add, operands, ...)                                                         \
  asm volatile("{\n.reg .pred add;\nsetp.ne.b32 add, " add ", 0;\nwgmma.mma_async.sync.aligned.m64n" #columns \
               "k16.f32." type "." type " {" LAIM_NAMES_##columns "}, " operands ";\n}"                       \
               : LAIM_SUMS_##columns(d)                                                                       \
               : __VA_ARGS__)
#define LAIM_WGMMA_OF(columns, add, operands, ...)             \
  if constexpr (2 * count == columns) {                        \
    if constexpr (is_same<S, bf16>)                            \
      LAIM_WGMMA(columns, "bf16", add, operands, __VA_ARGS__); \
    else                                                       \
      LAIM_WGMMA(columns, "f16", add, operands, __VA_ARGS__);  \
  }
#endif

// D += A B, or D = A B without `add`: A (64, 16), B (16, 2 count) in shared memory, D in the registers of the
// warpgroup. d and the operands must be left alone until wgmma_wait.
template <class S, bool a_transposed, bool b_transposed, int count>
LAIM_DEVICE void wgmma(float (&d)[count], uint64_t a, uint64_t b, bool add = true,
                       [[maybe_unused]] Site site = Site()) {
  static_assert(sizeof(S) == 2, "bf16 or fp16");
  static_assert(count == 32 || count == 64 || count == 128, "64, 128 or 256 columns");
#ifdef __CUDACC__
  LAIM_WGMMA_OF(64, "%36", "%32, %33, add, 1, 1, %34, %35", "l"(a), "l"(b), "n"(int(a_transposed)),
                "n"(int(b_transposed)), "r"(int(add)))
  LAIM_WGMMA_OF(128, "%68", "%64, %65, add, 1, 1, %66, %67", "l"(a), "l"(b), "n"(int(a_transposed)),
                "n"(int(b_transposed)), "r"(int(add)))
  LAIM_WGMMA_OF(256, "%132", "%128, %129, add, 1, 1, %130, %131", "l"(a), "l"(b), "n"(int(a_transposed)),
                "n"(int(b_transposed)), "r"(int(add)))
#else
  WgmmaThread own = {d, nullptr, a, b, add, site};
  shim::warpgroup_collective("wgmma.mma_async", site, &own, &wgmma_twin<S, 2 * count, a_transposed, b_transposed>);
#endif
}

// D += A B with A in registers, whose fragments are those of mma; a too must be left alone until wgmma_wait.
template <class S, bool b_transposed, int count>
LAIM_DEVICE void wgmma(float (&d)[count], const uint32_t (&a)[4], uint64_t b, [[maybe_unused]] Site site = Site()) {
  static_assert(sizeof(S) == 2, "bf16 or fp16");
  static_assert(count == 32 || count == 64, "64 or 128 columns");
#ifdef __CUDACC__
  LAIM_WGMMA_OF(64, "1", "{%32, %33, %34, %35}, %36, add, 1, 1, %37", "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]),
                "l"(b), "n"(int(b_transposed)))
  LAIM_WGMMA_OF(128, "1", "{%64, %65, %66, %67}, %68, add, 1, 1, %69", "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]),
                "l"(b), "n"(int(b_transposed)))
#else
  WgmmaThread own = {d, a, 0, b, true, site};
  shim::warpgroup_collective("wgmma.mma_async", site, &own, &wgmma_twin<S, 2 * count, false, b_transposed>);
#endif
}

// The sums by blocks of eight columns, as mma's.
template <int count>
LAIM_DEVICE float (&column_blocks(float (&d)[count]))
    [count / 4][4] { return reinterpret_cast<float (&)[count / 4][4]>(d); }

}  // namespace laim::cuda
