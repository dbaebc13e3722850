// The shim finds what it says it finds in mbarriers, TMA and wgmma, and does not complain about what is right.
#include "cuda/wgmma.cuh"
#include "tests/cuda/finds.h"

namespace laim::test {
namespace {

using namespace laim::cuda;

constexpr int tile_bytes = 64 * 128;
const Block one_warp = {32, 1, 5 * tile_bytes + 1024}, warpgroup = {128, 1, 5 * tile_bytes + 1024},
            two_warps = {64, 1, 1024};

uint8_t* tile(int i) { return shared_memory() + i * tile_bytes; }
Mbarrier* mbarrier(int i = 0) { return reinterpret_cast<Mbarrier*>(tile(5)) + i; }
uint32_t* words(int i = 0) { return reinterpret_cast<uint32_t*>(tile(i)); }

void init(int count = 1) {
  if (thread_index() == 0) {
    mbarrier_init(mbarrier(), count);
    mbarrier_init(mbarrier(1), count);
    mbarrier_fence_init();
  }
  block_barrier();
}

// A matrix of 64x64 ones, and a map of it.
struct Ones {
  Device<bf16> data{"ones", std::vector<bf16>(64 * 64, stored<bf16>(1))};
  TensorMap map;
  Ones() { check(make_tensor_map(&map, data.data(), 64, 64, 64, 64) == nullptr, "a map of ones"); }
  void load(int i, int64_t row = 0) const { load_box(tile(i), map, row, 0, mbarrier()); }
  // by thread 0; all have waited at the end
  void load_tiles(int count) const {
    if (thread_index() == 0) {
      mbarrier_arrive_expect(mbarrier(), count * tile_bytes);
      for (int i = 0; i < count; ++i) load(i);
    }
    mbarrier_wait(mbarrier(), 0);
  }
};

void test_mbarriers() {
  accepts(
      "arrivals, in two phases",
      [] {
        init(32);
        for (uint32_t phase = 0; phase < 2; ++phase) mbarrier_arrive(mbarrier()), mbarrier_wait(mbarrier(), phase);
      },
      one_warp);
  accepts("a fresh mbarrier is past parity 1", [] { init(), mbarrier_wait(mbarrier(), 1); }, one_warp);
  finds(
      "nobody arrives",
      {"deadlock", "threads 0-31 in mbarrier.try_wait.parity(0)", "mbarrier at shared+40960",
       "phase 0, pending 1 of 1 arrivals and 0 bytes"},
      [] { init(), mbarrier_wait(mbarrier(), 0); }, one_warp);
  finds(
      "one arrival is missing", {"deadlock", "pending 1 of 32 arrivals"},
      [] {
        init(32);
        if (thread_index() != 7) mbarrier_arrive(mbarrier());
        mbarrier_wait(mbarrier(), 0);
      },
      one_warp);
  finds(
      "bytes are missing", {"deadlock", "pending 0 of 1 arrivals and 16 bytes"},
      [] {
        init();
        if (thread_index() == 0) mbarrier_arrive_expect(mbarrier(), 16);
        mbarrier_wait(mbarrier(), 0);
      },
      one_warp);
  finds(
      "an arrival more than the count", {"an arrival more than the count"},
      [] {
        init();
        if (thread_index() == 0) mbarrier_arrive_expect(mbarrier(), 16), mbarrier_arrive(mbarrier());
        block_barrier();
      },
      one_warp);
  finds("use before init", {"which no mbarrier.init has initialised"}, [] { mbarrier_arrive(mbarrier()); }, one_warp);
  finds(
      "no barrier after the init", {"race: read", "wrote it"},
      [] {
        if (thread_index() == 0) mbarrier_init(mbarrier(), 32);
        mbarrier_arrive(mbarrier());
      },
      one_warp);
  finds("initialised twice", {"mbarrier.init on the mbarrier"}, [] { init(), init(); }, one_warp);
  finds(
      "misaligned", {"misaligned mbarrier.init", "multiple of 8"},
      [] { mbarrier_init(reinterpret_cast<Mbarrier*>(words() + 1), 1); }, one_warp);
  finds(
      "a write onto it", {"a write onto an mbarrier"},
      [] {
        init();
        if (thread_index() == 0) store_shared(words(5) + 1, 1u);
      },
      one_warp);
}

void test_named_barriers() {
  accepts(
      "one warp gives the turn to the other, and takes it back",
      [] {
        const int own = warp_index();
        if (own == 1) named_barrier_arrive(1, 64);
        for (int turn = 0; turn < 3; ++turn) {
          named_barrier_wait(1 + own, 64);
          if (own == 0 || turn < 2) named_barrier_arrive(2 - own, 64);
        }
      },
      two_warps);
  finds(
      "nobody gives the first turn", {"deadlock", "threads 0-31 in bar.sync", "named barrier 1 (32 of 64 threads)"},
      [] { named_barrier_wait(1 + warp_index(), 64); }, two_warps);
  finds(
      "a turn that nobody takes", {"the block ends before named barrier 3 (32 of 64 threads) has opened"},
      [] {
        if (warp_index() == 1) named_barrier_arrive(3, 64);
      },
      two_warps);
  finds(
      "two turns at once", {"bar.arrive of a thread that has arrived already"},
      [] { named_barrier_arrive(1, 64), named_barrier_arrive(1, 64); }, two_warps);
  finds(
      "warps that count differently", {"bar.sync of 32 threads on named barrier 1 (32 of 64 threads)"},
      [] { named_barrier_wait(1, warp_index() == 0 ? 64 : 32); }, two_warps);
  finds(
      "__syncthreads's own", {"bar.sync of barrier 0: the named are 1 to 15"}, [] { named_barrier_wait(0, 64); },
      two_warps);
  finds(
      "more threads than the block has", {"of 96 threads in a block of 64"}, [] { named_barrier_wait(1, 96); },
      two_warps);
}

void test_tiles() {
  const Ones ones;
  accepts(
      "tile, wait, read",
      [&] {
        init(), ones.load_tiles(1);
        if (load_shared(words() + thread_index()) != 0x3f803f80u) shim::fail("the tile brought something else", Site());
      },
      one_warp);
  accepts(
      "rows outside are zeros",
      [&] {
        init();
        if (thread_index() == 0) mbarrier_arrive_expect(mbarrier(), tile_bytes), ones.load(0, 63);
        mbarrier_wait(mbarrier(), 0);
        if (load_shared(words() + thread_index()) == 0 || load_shared(words() + 32 + thread_index()) != 0)
          shim::fail("not filled with zeros", Site());
      },
      one_warp);
  const auto load_and = [&](const auto& then) {
    init();
    if (thread_index() == 0) mbarrier_arrive_expect(mbarrier(), tile_bytes), ones.load(0);
    warp_barrier(), then();
  };
  finds(
      "no wait", {"the TMA tile that thread 0", "has not been waited for"},
      [&] { load_and([] { load_shared(words()); }); }, one_warp);
  finds(
      "a wait for the wrong parity", {"the TMA tile that thread 0", "has not been waited for"},
      [&] { load_and([] { mbarrier_wait(mbarrier(), 1), load_shared(words()); }); }, one_warp);
  finds(
      "another has waited", {"race: read", "this thread has not waited for its mbarrier"},
      [&] {
        load_and([] {
          if (thread_index() == 0) mbarrier_wait(mbarrier(), 0), mbarrier_arrive(mbarrier(1));
          if (thread_index() == 1) mbarrier_wait(mbarrier(1), 0), load_shared(words());
        });
      },
      one_warp);
  accepts(
      "another has waited, and a barrier",
      [&] {
        load_and([] {
          if (thread_index() == 0) mbarrier_wait(mbarrier(), 0);
          warp_barrier(), load_shared(words());
        });
      },
      one_warp);
  finds("nobody waits", {"the block ends before this TMA tile"}, [&] { load_and([] {}); }, one_warp);
  finds(
      "a write on top of it", {"the TMA tile that thread 0", "still on its way"},
      [&] { load_and([] { store_shared(words() + thread_index(), 1u); }); }, one_warp);
  finds(
      "two tiles, the bytes of one", {"the TMA tile that thread 0", "has not been waited for"},
      [&] {
        init();
        if (thread_index() == 0) mbarrier_arrive_expect(mbarrier(), tile_bytes), ones.load(0), ones.load(1);
        mbarrier_wait(mbarrier(), 0), load_shared(words(1));
      },
      one_warp);
  finds(
      "fewer bytes than the tile has", {"8192 bytes of this TMA tile", "are more than the mbarrier"},
      [&] {
        init();
        if (thread_index() == 0) mbarrier_arrive_expect(mbarrier(), 64), ones.load(0);
        mbarrier_wait(mbarrier(), 0);
      },
      one_warp);
  finds(
      "one tile twice in one place", {"still on its way there"},
      [&] {
        init();
        if (thread_index() == 0) mbarrier_arrive_expect(mbarrier(), 2 * tile_bytes), ones.load(0), ones.load(0);
      },
      one_warp);
  finds(
      "no fence after the init", {"no fence.mbarrier_init"},
      [&] {
        if (thread_index() == 0)
          mbarrier_init(mbarrier(), 1), mbarrier_arrive_expect(mbarrier(), tile_bytes), ones.load(0);
      },
      one_warp);
  finds(
      "misaligned", {"misaligned destination of a TMA tile", "multiple of 1024"},
      [&] { init(), load_box(tile(0) + 128, ones.map, 0, 0, mbarrier()); }, one_warp);
  finds(
      "past shared memory", {"out of bounds"}, [&] { init(), load_box(tile(5), ones.map, 0, 0, mbarrier()); },
      one_warp);
  finds(
      "onto an mbarrier", {"a TMA tile onto an mbarrier"},
      [&] { init(), load_box(tile(4) + 1024, ones.map, 0, 0, mbarrier()); }, one_warp);
  const auto write_and_load = [&](auto fence) {
    init();
    if (thread_index() == 0) store_shared(words(), 1u), fence();
    block_barrier();
    ones.load_tiles(1);
  };
  accepts("a thread's write, fence, tile", [&] { write_and_load([] { fence_proxy_async(); }); }, one_warp);
  finds(
      "a thread's write, no fence, tile", {"write by TMA", "no fence.proxy.async of it came after"},
      [&] { write_and_load([] {}); }, one_warp);
  Device<bf16> raw("raw", 64 * 64);
  TensorMap map;
  check(make_tensor_map(&map, raw.data(), 64, 64, 64, 64) == nullptr, "a map");
  finds(
      "uninitialised global", {"uninitialised read", "raw"}, [&] { init(), load_box(tile(0), map, 0, 0, mbarrier()); },
      one_warp);
  finds(
      "a head of a map of one matrix", {"4 coordinates from a tensor map of 2 dimensions"},
      [&] { init(), load_box(tile(0), ones.map, 0, 0, 0, 0, mbarrier()); }, one_warp);
  check(make_tensor_map(&map, raw.data() + 4, 60, 64, 64, 64) != nullptr, "a map of a matrix that is not aligned");
  check(make_tensor_map(&map, raw.data(), 60, 64, 60, 64) != nullptr, "a map of rows that are not aligned");
  check(make_tensor_map(&map, raw.data(), 64, 0, 64, 64) != nullptr, "a map of nothing");
}

void multiply(float (&d)[128], uint64_t a, uint64_t b, Site site = Site()) {
  wgmma<bf16, false, false>(d, a, b, true, site);
}
uint64_t a_of() { return operand_descriptor(tile(0), 0); }
uint64_t b_of() { return operand_descriptor(tile(1), 0); }

void test_wgmma() {
  const Ones ones;
  const auto loaded = [&](const auto& body) {
    return [&ones, body] {
      float d[128] = {};
      init(), ones.load_tiles(5), body(d);
    };
  };
  accepts("sums arrive at the wait, not before", loaded([](float (&d)[128]) {
            wgmma_fence(d), multiply(d, a_of(), b_of()), wgmma_commit();
            if (d[5] == d[5]) shim::fail("the sum is there before the wait", Site());
            wgmma_fence(d), multiply(d, a_of(), b_of()), wgmma_commit();
            wgmma_wait<1>(d);
            if (d[5] == d[5]) shim::fail("the sum is there, though a later group adds to it", Site());
            wgmma_wait<0>(d);
            if (d[5] != 32) shim::fail("the sum is " + std::to_string(d[5]), Site());
          }),
          warpgroup);
  finds("no wait", {"the thread ends before it has waited for this wgmma"},
        loaded([](float (&d)[128]) { wgmma_fence(d), multiply(d, a_of(), b_of()), wgmma_commit(); }), warpgroup);
  finds("no commit", {"the thread ends before it has waited for this wgmma"},
        loaded([](float (&d)[128]) { wgmma_fence(d), multiply(d, a_of(), b_of()), wgmma_wait<0>(d); }), warpgroup);
  finds("no fence", {"no wgmma.fence begins"}, loaded([](float (&d)[128]) { multiply(d, a_of(), b_of()); }), warpgroup);
  finds("the registers of A change before the wait", {"the registers of A of lane 3 changed", "sm90_shim_test.cpp"},
        loaded([](float (&d)[128]) {
          float (&half)[64] = reinterpret_cast<float (&)[64]>(d);
          uint32_t a[1][4] = {};
          wgmma_fence(half, a), wgmma<bf16, true>(half, a[0], b_of()), wgmma_commit();
          if (lane_index() == 3) a[0][1] = 5;
          wgmma_wait<0>(half);
        }),
        warpgroup);
  accepts("the registers of A change after the wait", loaded([](float (&d)[128]) {
            float (&half)[64] = reinterpret_cast<float (&)[64]>(d);
            for (uint32_t round = 0; round < 2; ++round) {
              uint32_t a[1][4] = {{0x3f803f80u * round, 0, 0, 0}};
              wgmma_fence(half, a), wgmma<bf16, true>(half, a[0], operand_descriptor(tile(1), tile_bytes));
              wgmma_commit(), wgmma_wait<0>(half);
              a[0][0] = 5;
            }
            if (d[0] != 8 || d[2] != 0) shim::fail("the sum is " + std::to_string(d[0]), Site());
          }),
          warpgroup);
  finds("a warp leaves it out", {"deadlock", "threads 0-95 in wgmma.mma_async", "threads 96-127 finished"},
        loaded([](float (&d)[128]) {
          wgmma_fence(d);
          if (warp_index() != 3) multiply(d, a_of(), b_of());
        }),
        warpgroup);
  finds("warps in two places", {"divergence", "wgmma.mma_async"}, loaded([](float (&d)[128]) {
          wgmma_fence(d);
          if (warp_index() != 3)
            multiply(d, a_of(), b_of());
          else
            multiply(d, a_of(), b_of());
        }),
        warpgroup);
  finds("a warp with another operand", {"different descriptors"},
        loaded([](float (&d)[128]) { wgmma_fence(d), multiply(d, next_step<false>(a_of(), warp_index()), b_of()); }),
        warpgroup);
  finds("another swizzle", {"128-byte swizzle"},
        loaded([](float (&d)[128]) { wgmma_fence(d), multiply(d, a_of() ^ uint64_t(3) << 62, b_of()); }), warpgroup);
  finds("an operand that begins amid the pattern", {"does not begin where the swizzle's pattern"},
        loaded([](float (&d)[128]) { wgmma_fence(d), multiply(d, operand_descriptor(tile(0) + 128, 0), b_of()); }),
        warpgroup);
  finds("an operand past what was loaded", {"read by wgmma"},
        loaded([](float (&d)[128]) { wgmma_fence(d), multiply(d, a_of(), operand_descriptor(tile(2), 0)); }),
        warpgroup);
  finds(
      "an operand on its way", {"read by wgmma", "the TMA tile that thread 0", "has not been waited for"},
      [&] {
        float d[128] = {};
        init();
        if (thread_index() == 0) mbarrier_arrive_expect(mbarrier(), tile_bytes), ones.load(0);
        wgmma_fence(d), multiply(d, a_of(), b_of());
      },
      warpgroup);
  finds("written before the wait", {"the wgmma that reads it", "has not been waited for"}, loaded([](float (&d)[128]) {
          wgmma_fence(d), multiply(d, a_of(), b_of()), wgmma_commit();
          block_barrier();
          if (thread_index() == 0) store_shared(words(), 1u);
        }),
        warpgroup);
  finds("loaded anew before the wait of another warp", {"the wgmma that reads it", "has not been waited for"},
        loaded([&](float (&d)[128]) {
          wgmma_fence(d), multiply(d, a_of(), b_of()), wgmma_commit();
          if (warp_index() == 0) wgmma_wait<0>(d);
          if (thread_index() == 0) mbarrier_arrive_expect(mbarrier(), tile_bytes), ones.load(1);
          block_barrier();
          if (warp_index() != 0) wgmma_wait<0>(d);
        }),
        warpgroup);
  const auto written = [](auto fence) {
    return [fence] {
      float d[128] = {};
      for (int i = thread_index(); i < 5 * tile_bytes / 4; i += 128) store_shared(words() + i, 0x3f803f80u);
      fence(), block_barrier();
      wgmma_fence(d), multiply(d, a_of(), b_of()), wgmma_commit(), wgmma_wait<0>(d);
      if (d[5] != 16) shim::fail("the sum is " + std::to_string(d[5]), Site());
    };
  };
  accepts("threads' writes, fence, wgmma", written([] { fence_proxy_async(); }), warpgroup);
  finds("threads' writes, no fence, wgmma", {"read by wgmma", "no fence.proxy.async of it came after"}, written([] {}),
        warpgroup);
  finds(
      "in less than a warpgroup", {"in a warpgroup of less than 128 threads"},
      [] {
        float d[128] = {};
        wgmma_fence(d), multiply(d, 0, 0);
      },
      one_warp);
}

}  // namespace
}  // namespace laim::test

int main() {
  laim::test::test_mbarriers();
  laim::test::test_named_barriers();
  laim::test::test_tiles();
  laim::test::test_wgmma();
  return laim::test::summary();
}
