#include "cuda/shim/shim.h"

#include <algorithm>
#include <cstring>

#include "cuda/shim/machine.h"

namespace laim::shim {

Machine machine;

Thread& self() { return *machine.threads[size_t(machine.current)]; }
Warp& own_warp() { return machine.warps[size_t(machine.current / warp_size)]; }

Actor actor(Site site) {
  return {machine.linear_block, machine.current,       machine.block_epoch, own_warp().epoch, site,
          self().proxy_fences,  self().observed.data()};
}

void wait(State state, const char* what, Site site) {
  Thread& thread = self();
  thread.state = state;
  thread.waits_in = what;
  thread.site = site;
  thread.fiber.suspend();
}

namespace {

// After a barrier each of the threads knows what one of them knew.
void share_observed(int first, int count) {
  for (size_t i = 0; i < machine.mbarriers.size(); ++i) {
    uint32_t most = 0;
    for (int t = first; t < first + count; ++t) most = std::max(most, machine.threads[size_t(t)]->observed[i]);
    for (int t = first; t < first + count; ++t) machine.threads[size_t(t)]->observed[i] = most;
  }
}

struct Failed {};  // unwinds the thread that fails; the others stay where they are and are forgotten

void thread_main(void*) {
  Thread& thread = self();
  try {
    (*machine.body)();
    for (const auto& group : thread.groups)
      if (!group.empty()) fail("the thread ends before it has waited for this cp.async", group[0].site);
    if (!thread.uncommitted.empty())
      fail("the thread ends before it has committed this cp.async", thread.uncommitted[0].site);
    check_async_work_of_thread();
  } catch (const Failed&) {
  }
  thread.state = State::finished;
  thread.fiber.suspend();
}

// "threads 0-31 wait in __syncthreads at csrc/...:70; threads 32-127 have finished"
std::string who_waits() {
  const auto text = [](int t) {
    const Thread& thread = *machine.threads[size_t(t)];
    if (thread.state == State::finished) return std::string("finished");
    const std::string where = " at " + thread.site.text(), what = std::string("in ") + thread.waits_in;
    if (thread.state == State::at_named_barrier)
      return what + where + " on " + named_barrier_text(thread.named_barrier);
    if (thread.state != State::at_mbarrier) return what + where;
    return what + "(" + std::to_string(thread.parity) + ")" + where + " on " + mbarrier_text(thread.mbarrier);
  };
  std::string out;
  for (int first = 0; first < machine.count;) {
    int last = first;
    while (last + 1 < machine.count && text(last + 1) == text(first)) ++last;
    out += (out.empty() ? "threads " : "; threads ") + std::to_string(first) + "-" + std::to_string(last) + " " +
           text(first);
    first = last + 1;
  }
  return out;
}

// Everybody waits: a barrier that all have reached opens, else a TMA tile arrives; anything else is an error.
void release_barrier() {
  const Thread& first = *machine.threads[0];
  const auto elsewhere = [](const auto& thread) { return thread->state != State::at_block_barrier; };
  const auto end = machine.threads.begin() + machine.count;
  if (std::find_if(machine.threads.begin(), end, elsewhere) != end && land_oldest_tile()) return;
  for (int t = 0; t < machine.count; ++t) {
    const Thread& thread = *machine.threads[size_t(t)];
    if (thread.state != State::at_block_barrier) {
      machine.error = "deadlock in block " + std::to_string(machine.linear_block) + ": " + who_waits();
      return;
    }
    if (!(thread.site == first.site)) {
      machine.error = "barrier divergence in block " + std::to_string(machine.linear_block) + ": " + who_waits();
      return;
    }
  }
  ++machine.block_epoch;
  share_observed(0, machine.count);
  for (int t = 0; t < machine.count; ++t) machine.threads[size_t(t)]->state = State::runnable;
}

void run_block() {
  for (int t = 0; t < machine.count; ++t) {
    Thread& thread = *machine.threads[size_t(t)];
    thread.uncommitted.clear();
    thread.groups.clear();
    thread.accumulators.clear();
    thread.operands.clear();
    thread.observed.clear();
    thread.proxy_fences = 0;
    thread.wgmma_fenced = false;
    thread.state = State::runnable;
    thread.fiber.start(&thread_main, nullptr);
  }
  for (Warp& warp : machine.warps) warp = Warp();
  machine.block_epoch = 0;
  machine.mbarriers.clear();
  machine.tile_copies.clear();
  machine.named_barriers.clear();
  machine.shared_shadow->begin_block();
  while (true) {
    bool progress = false, all_finished = true;
    for (int t = 0; t < machine.count; ++t) {
      Thread& thread = *machine.threads[size_t(t)];
      if (thread.state == State::runnable) {
        machine.current = t;
        thread.fiber.resume();
        progress = true;
        if (!machine.error.empty()) return;
      }
      all_finished = all_finished && thread.state == State::finished;
    }
    if (all_finished) {
      if (!machine.tile_copies.empty())
        machine.error = machine.tile_copies.front().actor.site.text() + ": the block ends before this TMA tile of " +
                        machine.tile_copies.front().actor.name() + " has arrived";
      for (const auto& each : machine.named_barriers)
        if (!each.second.arrived.empty())
          machine.error =
              each.second.site.text() + ": the block ends before " + named_barrier_text(each.first) + " has opened";
      return;
    }
    if (!progress) release_barrier();
    if (!machine.error.empty()) return;
  }
}

}  // namespace

Found find(Space space, const void* at, int64_t bytes, Site site) {
  const auto address = reinterpret_cast<uintptr_t>(at);
  const auto within = [&](const uint8_t* begin, const Shadow& shadow) {
    const auto start = reinterpret_cast<uintptr_t>(begin);
    return start <= address && address + uintptr_t(bytes) <= start + uintptr_t(shadow.bytes());
  };
  if (space == Space::shared) {
    const int64_t offset = int64_t(address - reinterpret_cast<uintptr_t>(machine.shared.get()));
    if (within(machine.shared.get(), *machine.shared_shadow)) return {machine.shared_shadow.get(), offset};
    fail("out of bounds: " + std::to_string(bytes) + " bytes at shared+" + std::to_string(offset) + ", the block has " +
             std::to_string(machine.shared_shadow->bytes()),
         site);
  }
  std::string nearest = "no buffer is near";
  int64_t distance = int64_t(1) << 40;
  for (const auto& region : machine.regions) {
    const int64_t offset = int64_t(address - reinterpret_cast<uintptr_t>(region->begin));
    if (within(region->begin, region->shadow)) return {&region->shadow, offset};
    const int64_t off = offset < 0 ? -offset : offset - region->shadow.bytes();
    if (off < distance) {
      distance = off;
      nearest = "nearest is " + region->shadow.name() + "+" + std::to_string(offset) + ", which has " +
                std::to_string(region->shadow.bytes());
    }
  }
  fail("out of bounds: " + std::to_string(bytes) + " bytes of global memory; " + nearest, site);
}

void check_alignment(const void* at, int64_t alignment, const char* what, Site site) {
  if (reinterpret_cast<uintptr_t>(at) % uintptr_t(alignment) != 0)
    fail(std::string("misaligned ") + what + ": the address must be a multiple of " + std::to_string(alignment), site);
}

void fail(const std::string& message, Site site) {
  machine.error = site.text() + ": " + message;
  if (message.find(" by thread ") == std::string::npos) machine.error += " [" + actor(site).name() + "]";
  throw Failed();
}

std::string launch(Index3 grid, int threads, int64_t shared_bytes, const std::function<void()>& body) {
  while (int(machine.threads.size()) < threads) machine.threads.push_back(std::make_unique<Thread>());
  machine.warps.assign(size_t((threads + warp_size - 1) / warp_size), Warp());
  machine.count = threads;
  machine.body = &body;
  machine.error.clear();
  const int64_t rounded = (shared_bytes / shared_alignment + 1) * shared_alignment;
  machine.shared.reset(static_cast<uint8_t*>(std::aligned_alloc(size_t(shared_alignment), size_t(rounded))));
  machine.shared_shadow = std::make_unique<Shadow>("shared", shared_bytes, false);
  for (auto& region : machine.regions) region->shadow.begin_launch();
  machine.linear_block = 0;
  for (int z = 0; z < grid.z; ++z)
    for (int y = 0; y < grid.y; ++y)
      for (int x = 0; x < grid.x; ++x, ++machine.linear_block) {
        machine.block = {x, y, z};
        std::memset(machine.shared.get(), 0xff, size_t(rounded));  // NaN in every floating-point type
        run_block();
        if (!machine.error.empty()) return machine.error;
      }
  return "";
}

GlobalMemory::GlobalMemory(std::string name, const void* begin, int64_t bytes, bool initialised)
    : id_(machine.next_region++) {
  machine.regions.push_back(std::make_unique<Region>(
      Region{id_, static_cast<const uint8_t*>(begin), Shadow(std::move(name), bytes, initialised)}));
}

GlobalMemory::~GlobalMemory() {
  auto& regions = machine.regions;
  regions.erase(std::remove_if(regions.begin(), regions.end(), [&](const auto& region) { return region->id == id_; }),
                regions.end());
}

Index3 block_index() { return machine.block; }
int thread_index() { return machine.current; }
uint8_t* shared_memory() { return machine.shared.get(); }

void check_read(Space space, const void* at, int64_t bytes, int64_t alignment, Site site, bool whole_warp) {
  check_alignment(at, alignment, "read", site);
  const Found found = find(space, at, bytes, site);
  const std::string wrong = found.shadow->read(found.offset, bytes, actor(site), whole_warp);
  if (!wrong.empty()) fail(wrong, site);
}

void check_write(Space space, const void* at, int64_t bytes, int64_t alignment, Site site) {
  check_alignment(at, alignment, "write", site);
  const Found found = find(space, at, bytes, site);
  if (space == Space::shared && overlaps_mbarrier(found.offset, bytes)) fail("a write onto an mbarrier", site);
  const std::string wrong = found.shadow->write(found.offset, bytes, actor(site));
  if (!wrong.empty()) fail(wrong, site);
}

void block_barrier(Site site) { wait(State::at_block_barrier, "__syncthreads", site); }

void warp_barrier(Site site) {
  warp_collective("__syncwarp", site, nullptr, [](void* const(&)[32]) {
    ++own_warp().epoch;
    share_observed(machine.current / warp_size * warp_size, warp_size);
  });
}

void gather(Gathering& gathering, int size, const char* what, Site site, void* argument,
            const std::function<void(void* const*)>& run) {
  const int first = machine.current / size * size;
  if (machine.count - first < size)
    fail(std::string(what) + " in a " + (size == warp_size ? "warp" : "warpgroup") + " of less than " +
             std::to_string(size) + " threads",
         site);
  if (gathering.arrived == 0) {
    gathering.first_to_arrive = machine.current;
  } else {
    const Thread& other = *machine.threads[size_t(gathering.first_to_arrive)];
    if (!(other.site == site) || std::strcmp(other.waits_in, what) != 0)
      fail("divergence: lane " + std::to_string(machine.current % size) + " is in " + what + ", lane " +
               std::to_string(gathering.first_to_arrive % size) + " in " + std::string(other.waits_in) + " at " +
               other.site.text(),
           site);
  }
  gathering.arguments[machine.current % size] = argument;
  if (++gathering.arrived < size) {
    wait(State::at_group_operation, what, site);
    return;
  }
  gathering.arrived = 0;
  run(gathering.arguments);
  for (int t = first; t < first + size; ++t) machine.threads[size_t(t)]->state = State::runnable;
}

void warp_collective(const char* what, Site site, void* argument, void (*run)(void* const (&lanes)[32])) {
  gather(own_warp().gathering, warp_size, what, site, argument,
         [&](void* const* lanes) { run(*reinterpret_cast<void* const(*)[warp_size]>(lanes)); });
}

void copy_async(void* to, const void* from, int bytes, int valid, Site site) {
  check_alignment(to, bytes, "destination of cp.async", site);
  check_alignment(from, bytes, "source of cp.async", site);
  if (valid < 0 || valid > bytes) fail("cp.async of " + std::to_string(valid) + " valid bytes", site);
  if (valid > 0) {
    const Found source = find(Space::global, from, valid, site);
    const std::string wrong = source.shadow->read(source.offset, valid, actor(site));
    if (!wrong.empty()) fail(wrong, site);
  }
  const Found found = find(Space::shared, to, bytes, site);
  const std::string wrong = found.shadow->write(found.offset, bytes, actor(site), true);
  if (!wrong.empty()) fail(wrong, site);
  std::memset(to, 0xff, size_t(bytes));
  self().uncommitted.push_back({static_cast<uint8_t*>(to), static_cast<const uint8_t*>(from), bytes, valid, site});
}

void commit_copies(Site) {
  Thread& thread = self();
  thread.groups.push_back(std::move(thread.uncommitted));
  thread.uncommitted.clear();
}

void wait_copies(int groups_left, Site) {
  Thread& thread = self();
  while (int(thread.groups.size()) > groups_left) {
    for (const Copy& copy : thread.groups.front()) {
      std::memcpy(copy.to, copy.from, size_t(copy.valid));
      std::memset(copy.to + copy.valid, 0, size_t(copy.bytes - copy.valid));
      machine.shared_shadow->land(copy.to - machine.shared.get(), copy.bytes, actor(copy.site));
    }
    thread.groups.pop_front();
  }
}

}  // namespace laim::shim
