// Named barriers; mbarriers, the TMA tiles that complete them, and the fences that go with both.
#include <cstring>

#include "cuda/shim/machine.h"

namespace laim::shim {
namespace {

constexpr int mbarrier_bytes = 8;

int64_t offset_of(const void* at) { return static_cast<const uint8_t*>(at) - machine.shared.get(); }

Mbarrier& initialised(const void* at, const char* what, Site site) {
  check_alignment(at, mbarrier_bytes, what, site);
  find(Space::shared, at, mbarrier_bytes, site);
  const auto found = machine.mbarriers.find(offset_of(at));
  if (found == machine.mbarriers.end())
    fail(std::string(what) + " on shared+" + std::to_string(offset_of(at)) + ", which no mbarrier.init has initialised",
         site);
  check_read(Space::shared, at, mbarrier_bytes, mbarrier_bytes, site);  // races with the init
  return found->second;
}

bool is_complete(const Mbarrier& mbarrier, uint32_t parity) { return mbarrier.phase % 2 != parity; }

void complete_if_due(int64_t at, Mbarrier& mbarrier) {
  if (mbarrier.pending != 0 || mbarrier.bytes != 0) return;
  ++mbarrier.phase;
  mbarrier.pending = mbarrier.count;
  for (int t = 0; t < machine.count; ++t) {
    Thread& thread = *machine.threads[size_t(t)];
    if (thread.state == State::at_mbarrier && thread.mbarrier == at && is_complete(mbarrier, thread.parity))
      thread.state = State::runnable;
  }
}

}  // namespace

std::string mbarrier_text(int64_t at) {
  const Mbarrier& mbarrier = machine.mbarriers.at(at);
  return "the mbarrier at shared+" + std::to_string(at) + " (phase " + std::to_string(mbarrier.phase) + ", pending " +
         std::to_string(mbarrier.pending) + " of " + std::to_string(mbarrier.count) + " arrivals and " +
         std::to_string(mbarrier.bytes) + " bytes)";
}

bool overlaps_mbarrier(int64_t at, int64_t bytes) {
  const auto next = machine.mbarriers.lower_bound(at - mbarrier_bytes + 1);
  return next != machine.mbarriers.end() && next->first < at + bytes;
}

bool land_oldest_tile() {
  if (machine.tile_copies.empty()) return false;
  const TileCopy copy = std::move(machine.tile_copies.front());
  machine.tile_copies.pop_front();
  const int64_t bytes = int64_t(copy.bytes.size());
  std::memcpy(machine.shared.get() + copy.to, copy.bytes.data(), copy.bytes.size());
  machine.shared_shadow->land(copy.to, bytes, copy.actor);
  Mbarrier& mbarrier = machine.mbarriers.at(copy.mbarrier);
  if (mbarrier.bytes < bytes || mbarrier.phase != copy.actor.phase) {
    machine.error = copy.actor.site.text() + ": the " + std::to_string(bytes) + " bytes of this TMA tile of " +
                    copy.actor.name() + " are more than " + mbarrier_text(copy.mbarrier) + " expects";
    return true;
  }
  mbarrier.bytes -= bytes;
  complete_if_due(copy.mbarrier, mbarrier);
  return true;
}

void mbarrier_init(void* at, int count, Site site) {
  check_alignment(at, mbarrier_bytes, "mbarrier.init", site);
  if (count < 1 || count >= 1 << 20) fail("mbarrier.init with a count of " + std::to_string(count), site);
  const int64_t offset = offset_of(at);
  if (machine.mbarriers.count(offset)) fail("mbarrier.init on " + mbarrier_text(offset), site);
  check_write(Space::shared, at, mbarrier_bytes, mbarrier_bytes, site);
  const int index = int(machine.mbarriers.size());
  machine.mbarriers[offset] = {index, count, count, 0, 0, machine.current, false};
  for (int t = 0; t < machine.count; ++t) machine.threads[size_t(t)]->observed.resize(size_t(index) + 1);
}

void mbarrier_fence_init(Site) {
  for (auto& each : machine.mbarriers)
    if (each.second.initialised_by == machine.current) each.second.init_fenced = true;
}

// Whoever the arrival lets go on does so before this thread: the order in which a slot given back too early shows. For
// the same reason who announces bytes, which lets nobody go on, issues their tiles before any other thread moves.
void mbarrier_arrive(void* at, int64_t expected_bytes, Site site) {
  Mbarrier& mbarrier = initialised(at, "mbarrier.arrive", site);
  if (mbarrier.pending == 0)
    fail("an arrival more than the count: mbarrier.arrive on " + mbarrier_text(offset_of(at)), site);
  if (expected_bytes < 0 || mbarrier.bytes + expected_bytes >= 1 << 20)
    fail("the bytes expected overflow: mbarrier.arrive.expect_tx of " + std::to_string(expected_bytes) + " on " +
             mbarrier_text(offset_of(at)),
         site);
  mbarrier.bytes += expected_bytes;
  --mbarrier.pending;
  complete_if_due(offset_of(at), mbarrier);
  if (expected_bytes == 0) self().fiber.suspend();
}

void mbarrier_wait(const void* at, uint32_t parity, Site site) {
  const Mbarrier& mbarrier = initialised(at, "mbarrier.try_wait", site);
  if (parity > 1) fail("mbarrier.try_wait.parity of " + std::to_string(parity) + ", expected 0 or 1", site);
  self().mbarrier = offset_of(at);
  self().parity = parity;
  if (!is_complete(mbarrier, parity)) wait(State::at_mbarrier, "mbarrier.try_wait.parity", site);
  self().observed[size_t(mbarrier.index)] = mbarrier.phase;
}

std::string named_barrier_text(int id) {
  const NamedBarrier& barrier = machine.named_barriers.at(id);
  return "named barrier " + std::to_string(id) + " (" + std::to_string(barrier.arrived.size()) + " of " +
         std::to_string(barrier.threads) + " threads)";
}

void named_barrier(int id, int threads, bool waits, Site site) {
  const char* const what = waits ? "bar.sync" : "bar.arrive";
  if (id < 1 || id > 15)
    fail(std::string(what) + " of barrier " + std::to_string(id) + ": the named are 1 to 15", site);
  if (threads < warp_size || threads % warp_size != 0 || threads > machine.count)
    fail(std::string(what) + " of " + std::to_string(threads) + " threads in a block of " +
             std::to_string(machine.count),
         site);
  NamedBarrier& barrier = machine.named_barriers[id];
  if (barrier.arrived.empty()) barrier.threads = threads;
  if (barrier.threads != threads)
    fail(std::string(what) + " of " + std::to_string(threads) + " threads on " + named_barrier_text(id), site);
  if (std::find(barrier.arrived.begin(), barrier.arrived.end(), machine.current) != barrier.arrived.end())
    fail(std::string(what) + " of a thread that has arrived already, on " + named_barrier_text(id), site);
  barrier.arrived.push_back(machine.current);
  barrier.site = site;
  if (int(barrier.arrived.size()) < threads) {
    self().named_barrier = id;
    if (waits) wait(State::at_named_barrier, what, site);
    return;
  }
  barrier.arrived.clear();
  for (int t = 0; t < machine.count; ++t) {
    Thread& thread = *machine.threads[size_t(t)];
    if (thread.state == State::at_named_barrier && thread.named_barrier == id) thread.state = State::runnable;
  }
}

void fence_proxy_async(Site) { ++self().proxy_fences; }

void load_tile(void* to, const TileSource& source, std::initializer_list<int64_t> place, void* at, Site site) {
  constexpr int chunk = 16, row_bytes = 128, pattern = 1024;
  const int64_t bytes = int64_t(source.box_rows) * row_bytes, offset = offset_of(to);
  check_alignment(to, pattern, "destination of a TMA tile with the 128-byte swizzle", site);
  find(Space::shared, to, bytes, site);
  if (overlaps_mbarrier(offset, bytes)) fail("a TMA tile onto an mbarrier", site);
  const Mbarrier& mbarrier = initialised(at, "complete_tx", site);
  if (!mbarrier.init_fenced)
    fail("a TMA tile on a barrier whose mbarrier.init no fence.mbarrier_init has shown to TMA", site);
  if (int(place.size()) != source.dimensions)
    fail("a TMA tile of " + std::to_string(place.size()) + " coordinates from a tensor map of " +
             std::to_string(source.dimensions) + " dimensions",
         site);
  int64_t at_dimension[4] = {};
  std::copy(place.begin(), place.end(), at_dimension);
  const auto [column, row, head, batch] = at_dimension;
  const bool outside = head < 0 || head >= source.size[2] || batch < 0 || batch >= source.size[3];
  const int64_t element_bytes = source.bytes[0];
  TileCopy copy = {offset, offset_of(at), std::vector<uint8_t>(size_t(bytes)), actor(site)};
  copy.actor.mbarrier = mbarrier.index;
  copy.actor.phase = mbarrier.phase;
  for (int64_t i = 0; i < source.box_rows; ++i) {
    if (outside || row + i < 0 || row + i >= source.size[1]) continue;  // zeros
    const int64_t first = std::max<int64_t>(0, -column) * element_bytes;
    const int64_t last = std::min<int64_t>(row_bytes, (source.size[0] - column) * element_bytes);
    if (first >= last) continue;
    const uint8_t* from = source.base + batch * source.bytes[3] + head * source.bytes[2] + (row + i) * source.bytes[1] +
                          column * element_bytes;
    check_read(Space::global, from + first, last - first, 1, site);
    for (int64_t b = first; b < last; ++b)
      copy.bytes[size_t(i * row_bytes + ((b / chunk) ^ (i % 8)) * chunk + b % chunk)] = from[b];
  }
  const std::string wrong = machine.shared_shadow->write_async(
      offset, bytes, copy.actor, [](int thread) { return machine.threads[size_t(thread)]->proxy_fences; });
  if (!wrong.empty()) fail(wrong, site);
  std::memset(to, 0xff, size_t(bytes));
  machine.tile_copies.push_back(std::move(copy));
}

}  // namespace laim::shim
