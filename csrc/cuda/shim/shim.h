// Runs a CUDA kernel on a CPU: every thread of a block is a fiber, blocks come one after the other. Memory has a shadow
// (shadow.h); the first thing that is wrong ends the launch with a message that names file, line and thread.
//
// What this header offers to kernels goes through csrc/cuda/platform.cuh and csrc/cuda/ptx.cuh, never directly.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <string>
#include <vector>

#include "cuda/shim/site.h"

namespace laim::shim {

struct Index3 {
  int x = 0, y = 0, z = 0;
};

// Runs body() once for each thread of grid.x * grid.y * grid.z blocks. Returns "" or what was wrong.
std::string launch(Index3 grid, int threads, int64_t shared_bytes, const std::function<void()>& body);

// Memory that kernels may touch while the object lives. Starts as never written unless `initialised`.
class GlobalMemory {
 public:
  GlobalMemory(std::string name, const void* begin, int64_t bytes, bool initialised);
  ~GlobalMemory();
  GlobalMemory(const GlobalMemory&) = delete;
  GlobalMemory& operator=(const GlobalMemory&) = delete;

 private:
  int id_;
};

// Below: what a simulated thread calls. An error does not return.

Index3 block_index();
int thread_index();
uint8_t* shared_memory();

enum class Space { shared, global };
void check_read(Space space, const void* at, int64_t bytes, int64_t alignment, Site site, bool whole_warp = false);
void check_write(Space space, const void* at, int64_t bytes, int64_t alignment, Site site);

void block_barrier(Site site);
void warp_barrier(Site site);

// All 32 lanes of a warp call this at one place; the last to arrive runs `run` on what each lane brought.
void warp_collective(const char* what, Site site, void* argument, void (*run)(void* const (&lanes)[32]));

// cp.async: `bytes` at `to`, the first `valid` of them from `from`, the others zero. They arrive at the wait.
void copy_async(void* to, const void* from, int bytes, int valid, Site site);
void commit_copies(Site site);
void wait_copies(int groups_left, Site site);

// mbarriers, 8 bytes of shared memory each. An arrival lets those who wait go on first.
void mbarrier_init(void* at, int count, Site site);
void mbarrier_fence_init(Site site);
void mbarrier_arrive(void* at, int64_t expected_bytes, Site site);
void mbarrier_wait(const void* at, uint32_t parity, Site site);
void fence_proxy_async(Site site);

// Barrier `id` opens when so many threads have arrived, some of which wait. What they read and write it does not order.
void named_barrier(int id, int threads, bool waits, Site site);

// A tensor map: matrices (heads and batches of them, if more than one) of which TMA takes boxes 128 bytes wide, with
// the 128-byte swizzle.
struct TileSource {
  const uint8_t* base;
  int dimensions;
  int64_t size[4], bytes[4];  // columns, rows, heads, batches, and how far apart they lie
  int box_rows;
};
// The box at (row, column) of a matrix to shared memory, zeros where there is none, its bytes counted by the mbarrier
// `at`. place: as many coordinates as the source has dimensions.
void load_tile(void* to, const TileSource& source, std::initializer_list<int64_t> place, void* at, Site site);

// As warp_collective, for the 128 threads of a warpgroup.
void warpgroup_collective(const char* what, Site site, void* argument, void (*run)(void* const (&threads)[128]));

// What a wgmma reads and adds to, from within a warpgroup_collective. Bytes that a warp has read must stay as they are
// until that warp has waited for the group; until then the accumulator's registers hold NaN.
class WgmmaOperands {
 public:
  explicit WgmmaOperands(Site site);
  const uint8_t* read(int warp, int64_t offset, int64_t bytes);  // warp: in the warpgroup; offset: in shared memory
  float* accumulator(int thread, float* registers, int count);
  void pin_registers(int thread, const uint32_t* registers, int count);  // of an operand: must stay as they are

 private:
  Site site_;
  std::vector<uint32_t> observed_;  // phases that all of the warpgroup know to be complete
};
void wgmma_fence(Site site);
void wgmma_commit(Site site);
void wgmma_wait(int groups_left, Site site);

[[noreturn]] void fail(const std::string& message, Site site);

}  // namespace laim::shim
