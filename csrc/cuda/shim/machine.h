// The state of the simulated multiprocessor: what shim.cpp (threads, barriers, cp.async), mbarrier.cpp (mbarriers, TMA)
// and wgmma.cpp share. No kernel includes it.
#pragma once
#include <cstdlib>
#include <deque>
#include <map>
#include <memory>

#include "cuda/shim/fiber.h"
#include "cuda/shim/shadow.h"
#include "cuda/shim/shim.h"

namespace laim::shim {

constexpr int warp_size = 32, warpgroup_size = 128;
constexpr int64_t shared_alignment = 1024;

struct Copy {
  uint8_t* to;
  const uint8_t* from;
  int bytes, valid;
  Site site;
};

enum class State { runnable, at_block_barrier, at_group_operation, at_mbarrier, at_named_barrier, finished };

// What a warpgroup adds to, while the registers themselves hold NaN.
struct Accumulator {
  float* registers;
  std::vector<float> values;
  int64_t group;  // the newest that adds to it
};

// Registers of an operand that a wgmma reads, as they were at its issue.
struct OperandRegisters {
  const uint32_t* registers;
  std::vector<uint32_t> values;
  int64_t group;
  Site site;
};

struct Thread {
  Fiber fiber;
  State state = State::finished;
  const char* waits_in = "";
  Site site;
  std::vector<Copy> uncommitted;
  std::deque<std::vector<Copy>> groups;
  int64_t mbarrier = 0;  // where in shared memory the one lies that it waits for, and for which parity
  uint32_t parity = 0;
  int named_barrier = 0;           // at which it waits
  std::vector<uint32_t> observed;  // of each mbarrier, how many phases it knows to be complete
  uint32_t proxy_fences = 0;
  bool wgmma_fenced = false;
  std::vector<Accumulator> accumulators;
  std::vector<OperandRegisters> operands;
};

// Threads that are gathering for an operation of all of them.
struct Gathering {
  int arrived = 0, first_to_arrive = 0;
  void* arguments[warpgroup_size];
};

struct Pin {
  int64_t offset, bytes;
};

struct Warp {
  uint32_t epoch = 0;
  Gathering gathering, warpgroup;  // the latter only in the first warp of a warpgroup
  // Its wgmmas: what they read, group by group, and the group that is open; counted from 0.
  std::deque<std::vector<Pin>> groups;
  std::vector<Pin> uncommitted;
  int64_t groups_complete = 0;
  Site uncommitted_site;
};

struct Mbarrier {
  int index;  // in Thread::observed
  int count, pending;
  int64_t bytes;  // that are expected and have not arrived
  uint32_t phase = 0;
  int initialised_by;
  bool init_fenced = false;
};

struct NamedBarrier {
  int threads = 0;  // that it opens for, once one has arrived
  std::vector<int> arrived;
  Site site;  // of the last
};

// A TMA tile on its way. It arrives when no thread can go on without it: later than on any device.
struct TileCopy {
  int64_t to, mbarrier;  // in shared memory
  std::vector<uint8_t> bytes;
  Actor actor;
};

struct Region {
  int id;
  const uint8_t* begin;
  Shadow shadow;
};

struct Machine {
  std::vector<std::unique_ptr<Thread>> threads;
  std::vector<Warp> warps;
  std::vector<std::unique_ptr<Region>> regions;
  int next_region = 0;
  std::unique_ptr<uint8_t, void (*)(void*)> shared{nullptr, std::free};
  std::unique_ptr<Shadow> shared_shadow;
  const std::function<void()>* body = nullptr;
  Index3 block;
  int linear_block = 0, current = 0, count = 0;
  uint32_t block_epoch = 0;
  std::map<int64_t, Mbarrier> mbarriers;  // by where in shared memory they lie
  std::map<int, NamedBarrier> named_barriers;
  std::deque<TileCopy> tile_copies;
  std::string error;
};
extern Machine machine;

Thread& self();
Warp& own_warp();
Actor actor(Site site);

// Threads that wait when the launch fails are forgotten as they stand: what they hold on the heap here would leak.
void wait(State state, const char* what, Site site);
// All `size` threads of a group call this at one place; the last to arrive runs `run` on what each brought.
void gather(Gathering& gathering, int size, const char* what, Site site, void* argument,
            const std::function<void(void* const*)>& run);

struct Found {
  Shadow* shadow;
  int64_t offset;
};
Found find(Space space, const void* at, int64_t bytes, Site site);
void check_alignment(const void* at, int64_t alignment, const char* what, Site site);

std::string named_barrier_text(int id);  // and what it waits for
std::string mbarrier_text(int64_t at);   // its place, its phase, and what it waits for
bool overlaps_mbarrier(int64_t at, int64_t bytes);
bool land_oldest_tile();            // false: none is on its way. May set machine.error.
void check_async_work_of_thread();  // at the thread's end

}  // namespace laim::shim
