// The shim finds what it says it finds, and does not complain about what is right: one small kernel for each.
#include "cuda/ptx.cuh"
#include "tests/cuda/finds.h"

namespace laim::test {
namespace {

using namespace laim::cuda;

int* shared_ints() { return reinterpret_cast<int*>(shared_memory()); }

void test_races() {
  const auto exchange = [](auto barrier) {
    store_shared(shared_ints() + thread_index(), 1);
    barrier();
    load_shared(shared_ints() + (thread_index() & ~1));
  };
  finds("write, then read by another", {"race: read", "thread 0", "wrote it"}, [&] { exchange([] {}); });
  accepts("write, barrier, read by another", [&] { exchange([] { block_barrier(); }); });
  accepts("write, warp barrier, read within the warp", [&] { exchange([] { warp_barrier(); }); });
  finds("a shuffle orders no memory", {"race: read"}, [&] { exchange([] { shuffle_xor(0, 1); }); });
  finds("a warp barrier does not order warps", {"race: read", "(warp 1, lane 0)"}, [] {
    if (thread_index() == 0) store_shared(shared_ints(), 1);
    warp_barrier();
    if (thread_index() == 32) load_shared(shared_ints());
  });
  finds("two write one place", {"race: write", "wrote it"}, [] { store_shared(shared_ints(), thread_index()); });
  const auto overtake = [](auto barrier) {
    store_shared(shared_ints() + thread_index(), 1);
    block_barrier();
    load_shared(shared_ints() + 63 - thread_index());
    barrier();
    store_shared(shared_ints() + thread_index(), 2);
  };
  finds("read, then written by another", {"race: ", "no barrier lies between"}, [&] { overtake([] {}); });
  accepts("read, barrier, written by another", [&] { overtake([] { block_barrier(); }); });
  finds("read by all, then written by one of them", {"race: write", "read it"}, [] {
    if (thread_index() == 63) store_shared(shared_ints(), 1);
    block_barrier();
    load_shared(shared_ints());
    if (thread_index() == 63) store_shared(shared_ints(), 2);
  });
  Device<int> buffer("buffer", std::vector<int>(4));
  finds("two blocks write one place", {"race: write", "buffer+0", "block 1"},
        [&] {
          if (thread_index() == 0) store_global(buffer.data(), 1);
        },
        {64, 2});
  finds("a block reads what another wrote", {"race: read", "buffer+4"},
        [&] {
          if (block_x() == 0 && thread_index() == 0) store_global(buffer.data() + 1, 1);
          if (block_x() == 1) load_global(buffer.data() + 1);
        },
        {64, 2});
  accepts("the next launch reads what the last wrote", [&] { load_global(buffer.data() + 1); }, {64, 2});
}

void test_memory() {
  finds("uninitialised shared", {"uninitialised read", "shared+8"}, [] { load_shared(shared_ints() + 2); });
  finds("shared memory of the block before", {"uninitialised read"},
        [] {
          if (block_x() == 0)
            store_shared(shared_ints() + thread_index(), 1);
          else
            load_shared(shared_ints() + thread_index());
        },
        {64, 2});
  finds("past shared memory", {"out of bounds", "shared+1024"}, [] { store_shared(shared_ints() + 256, 1); });
  Device<int> buffer("buffer", 4), input("input", std::vector<int>(4));
  finds("uninitialised global", {"uninitialised read", "buffer+0"}, [&] { load_global(buffer.data()); });
  finds("past global memory", {"out of bounds", "input+16"}, [&] { load_global(input.data() + 4); });
  finds("before global memory", {"out of bounds", "input+-4"}, [&] { load_global(input.data() - 1); });
  finds("misaligned", {"misaligned", "multiple of 16"},
        [&] { load_shared(reinterpret_cast<const Chunk*>(shared_ints() + 1)); });
}

void test_convergence() {
  finds("a thread leaves out a barrier", {"deadlock", "threads 0-0 finished", "threads 1-63 in __syncthreads"}, [] {
    if (thread_index() != 0) block_barrier();
  });
  finds("two barriers", {"barrier divergence", "threads 0-31 in", "threads 32-63 in"}, [] {
    if (thread_index() < 32)
      block_barrier();
    else
      block_barrier();
  });
  finds("a lane leaves out a shuffle", {"deadlock", "in shfl.sync"}, [] {
    if (thread_index() % 32 != 5) shuffle_xor(1, 1);
  });
  finds("lanes of a warp in two places", {"divergence", "lane 1 is in shfl.sync", "__syncwarp"}, [] {
    if (thread_index() % 2 == 0)
      warp_barrier();
    else
      shuffle_xor(1, 1);
  });
}

void test_copies() {
  Device<uint32_t> input("input", std::vector<uint32_t>(256, 7));
  const auto own = [] { return shared_memory() + 16 * thread_index(); };
  const auto source = [&] { return input.data() + 4 * thread_index(); };
  const auto word = [](int thread) { return load_shared(reinterpret_cast<uint32_t*>(shared_memory()) + 4 * thread); };
  const auto copy = [&](auto then) { cp_async_16(own(), source(), 16), then(); };
  accepts("copy, commit, wait, read one's own", [&] {
    copy([] { cp_async_commit(), cp_async_wait<0>(); });
    if (word(thread_index()) != 7) shim::fail("the copy brought something else", shim::Site());
  });
  accepts("copy, commit, wait, barrier, read another's",
          [&] { copy([] { cp_async_commit(), cp_async_wait<0>(), block_barrier(); }), word(63 - thread_index()); });
  accepts("invalid bytes are zeros", [&] {
    cp_async_16(own(), source(), 8), cp_async_commit(), cp_async_wait<0>();
    const Chunk chunk = load_shared(reinterpret_cast<Chunk*>(own()));
    if (chunk.word[1] != 7 || chunk.word[2] != 0) shim::fail("not filled with zeros", shim::Site());
  });
  finds("no wait", {"has not been waited for", "cp.async"},
        [&] { copy([] { cp_async_commit(); }), word(thread_index()); });
  finds("no commit", {"has not been waited for"}, [&] { copy([] { cp_async_wait<0>(); }), word(thread_index()); });
  finds("a wait that leaves one group too many", {"has not been waited for"},
        [&] { copy([] { cp_async_commit(), cp_async_wait<1>(); }), word(thread_index()); });
  finds("no barrier after the wait", {"race: read"},
        [&] { copy([] { cp_async_commit(), cp_async_wait<0>(); }), word(thread_index() & 31); });
  finds("a write on top of a copy", {"still on its way"},
        [&] { copy([&] { store_shared(reinterpret_cast<uint32_t*>(own()), 1u); }); });
  finds("the thread ends too early", {"ends before it has waited"}, [&] { copy([] { cp_async_commit(); }); });
  finds("misaligned source", {"misaligned source of cp.async"}, [&] { cp_async_16(own(), source() + 1, 8); });
  finds("source out of bounds", {"out of bounds", "input"}, [&] { cp_async_16(own(), input.data() + 256, 4); });
  finds("source of a single number out of bounds", {"out of bounds", "input"},
        [&] { cp_async_4(own(), input.data() + 256, true); });
  accepts("a single number, or zero", [&] {
    cp_async_4(own(), source(), true), cp_async_4(own() + 4, input.data() + 256, false);
    cp_async_commit(), cp_async_wait<0>();
    if (word(thread_index()) != 7 || load_shared(reinterpret_cast<uint32_t*>(own()) + 1) != 0)
      shim::fail("the copy brought something else", shim::Site());
  });
  accepts("no valid bytes read nothing",
          [&] { cp_async_16(own(), input.data() + 256, 0), cp_async_commit(), cp_async_wait<0>(); });
}

void test_numbers() {
  bool same = true;
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    const fp16 x = {uint16_t(bits)};
    const bool nan = (bits & 0x7fff) > 0x7c00;
    same = same && (nan ? std::isnan(to_float(x)) && std::isnan(to_float(to_fp16(to_float(x))))
                        : to_fp16(to_float(x)).bits == bits);
  }
  check(same, "fp16 to float and back");
  check(to_fp16(65519).bits == 0x7bff && to_fp16(65520).bits == 0x7c00, "fp16: the largest and infinity");
  check(to_fp16(2049).bits == 0x6800 && to_fp16(2051).bits == 0x6802, "fp16: ties to even");
  check(to_fp16(std::ldexp(1.0f, -25)).bits == 0 && to_fp16(std::ldexp(1.5f, -25)).bits == 1, "fp16: subnormals");
}

}  // namespace
}  // namespace laim::test

int main() {
  laim::test::test_races();
  laim::test::test_memory();
  laim::test::test_convergence();
  laim::test::test_copies();
  laim::test::test_numbers();
  return laim::test::summary();
}
