// The instructions of sm_90 that move data: mbarriers, TMA and the fences between a thread's own accesses and the
// asynchronous proxy's (TMA, wgmma). As in ptx.cuh, beside the inline PTX of each stands its host twin.
//
// What the twins do not know: time. A tile arrives when no thread can go on without it; who waits for an mbarrier goes
// on before the thread whose arrival completed it. mbarriers order TMA tiles and wgmmas, not yet what threads read and
// write themselves: that needs a barrier of the block, or is taken for a race. Not yet compared with a GPU.
#pragma once
#include "cuda/ptx.cuh"
#include "cuda/tensor_map.h"

namespace laim::cuda {

using Mbarrier = uint64_t;  // in shared memory

#ifdef __CUDACC__
LAIM_DEVICE uint32_t shared_address(const void* at) { return static_cast<uint32_t>(__cvta_generic_to_shared(at)); }
#else
inline uint32_t shared_address(const void* at) {
  return uint32_t(static_cast<const uint8_t*>(at) - shim::shared_memory());
}
#endif

// ---- mbarriers ------------------------------------------------------------------------------------------------------

// A phase is complete after `count` arrivals, and after all bytes that were announced have arrived.
LAIM_DEVICE void mbarrier_init(Mbarrier* at, int count, [[maybe_unused]] Site site = Site()) {
#ifdef __CUDACC__
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(at)), "r"(count) : "memory");
#else
  shim::mbarrier_init(at, count, site);
#endif
}

// Shows this thread's mbarrier_init to TMA; to other threads a barrier of the block does.
LAIM_DEVICE void mbarrier_fence_init([[maybe_unused]] Site site = Site()) {
#ifdef __CUDACC__
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
#else
  shim::mbarrier_fence_init(site);
#endif
}

LAIM_DEVICE void mbarrier_arrive(Mbarrier* at, [[maybe_unused]] Site site = Site()) {
#ifdef __CUDACC__
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_address(at)) : "memory");
#else
  shim::mbarrier_arrive(at, 0, site);
#endif
}

// Announces `bytes` for the phase, and arrives.
LAIM_DEVICE void mbarrier_arrive_expect(Mbarrier* at, int bytes, [[maybe_unused]] Site site = Site()) {
#ifdef __CUDACC__
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(at)), "r"(bytes)
               : "memory");
#else
  shim::mbarrier_arrive(at, bytes, site);
#endif
}

// Waits until the phase of this parity is complete. Phases count from 0; a fresh mbarrier is past its phase of
// parity 1.
LAIM_DEVICE void mbarrier_wait(const Mbarrier* at, uint32_t parity, [[maybe_unused]] Site site = Site()) {
#ifdef __CUDACC__
  uint32_t complete;
  do {
    asm volatile(
        "{\n.reg .pred complete;\nmbarrier.try_wait.parity.shared::cta.b64 complete, [%1], %2;\n"
        "selp.u32 %0, 1, 0, complete;\n}"
        : "=r"(complete)
        : "r"(shared_address(at)), "r"(parity)
        : "memory");
  } while (!complete);
#else
  shim::mbarrier_wait(at, parity, site);
#endif
}

// ---- named barriers -------------------------------------------------------------------------------------------------

// Barrier `id` (from 1 on; 0 is block_barrier's) opens when `threads` threads, by whole warps, have arrived; of these
// only those that wait are held up. Then it begins anew.
LAIM_DEVICE void named_barrier_wait(int id, int threads, [[maybe_unused]] Site site = Site()) {
#ifdef __CUDACC__
  asm volatile("bar.sync %0, %1;" ::"r"(id), "r"(threads) : "memory");
#else
  shim::named_barrier(id, threads, true, site);
#endif
}

LAIM_DEVICE void named_barrier_arrive(int id, int threads, [[maybe_unused]] Site site = Site()) {
#ifdef __CUDACC__
  asm volatile("bar.arrive %0, %1;" ::"r"(id), "r"(threads) : "memory");
#else
  shim::named_barrier(id, threads, false, site);
#endif
}

// ---- registers ------------------------------------------------------------------------------------------------------

// Each thread of the warpgroup, which must be whole, has `count` registers from here on: less than it had, or more,
// which waits until others have given them. The twin only sees that all of the warpgroup do so.
template <int count, bool more>
LAIM_DEVICE void set_registers([[maybe_unused]] Site site = Site()) {
  static_assert(count >= 24 && count <= 256 && count % 8 == 0);
#ifdef __CUDACC__
  if constexpr (more)
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(count));
  else
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(count));
#else
  shim::warpgroup_collective("setmaxnreg", site, nullptr, [](void* const(&)[128]) {});
#endif
}

// ---- TMA ------------------------------------------------------------------------------------------------------------

// cp.async.bulk.tensor.2d: the map's box at (row, column) to shared memory, a multiple of 1024 bytes; zeros where there
// is no matrix. Row r of the box lies at 128 r, its chunk c of 16 bytes at c xor (r mod 8). By one thread; all of the
// box's bytes, zeros too, count for the mbarrier's phase.
LAIM_DEVICE void load_box(void* to, const TensorMap& map, int64_t row, int64_t column, Mbarrier* at,
                          [[maybe_unused]] Site site = Site()) {
#ifdef __CUDACC__
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3}], [%4];" ::
          "r"(shared_address(to)),
      "l"(&map), "r"(int(column)), "r"(int(row)), "r"(shared_address(at))
      : "memory");
#else
  shim::load_tile(to, map, {column, row}, at, site);
#endif
}

// The same of one head of a (batch, heads, rows, columns) tensor.
LAIM_DEVICE void load_box(void* to, const TensorMap& map, int64_t batch, int64_t head, int64_t row, int64_t column,
                          Mbarrier* at, [[maybe_unused]] Site site = Site()) {
#ifdef __CUDACC__
  asm volatile(
      "cp.async.bulk.tensor.4d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3, %4, %5}], "
      "[%6];" ::"r"(shared_address(to)),
      "l"(&map), "r"(int(column)), "r"(int(row)), "r"(int(head)), "r"(int(batch)), "r"(shared_address(at))
      : "memory");
#else
  shim::load_tile(to, map, {column, row, head, batch}, at, site);
#endif
}

// Shows what this thread wrote to shared memory to TMA and wgmma, once a barrier has ordered them behind it.
LAIM_DEVICE void fence_proxy_async([[maybe_unused]] Site site = Site()) {
#ifdef __CUDACC__
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
#else
  shim::fence_proxy_async(site);
#endif
}

}  // namespace laim::cuda
