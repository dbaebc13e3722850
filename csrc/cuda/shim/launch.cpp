#include "cuda/shim/launch.h"

#include <algorithm>
#include <deque>

namespace laim::shim {
namespace {

struct Extent {
  uintptr_t begin, end;
};

thread_local std::vector<Extent> permitted;

// Views of one tensor overlap, and neighbours touch: what is read of one and written of the other must be one region.
std::vector<Extent> merged(std::vector<Extent> extents) {
  std::sort(extents.begin(), extents.end(), [](const Extent& a, const Extent& b) { return a.begin < b.begin; });
  std::vector<Extent> regions;
  for (const Extent& each : extents)
    if (regions.empty() || each.begin > regions.back().end)
      regions.push_back(each);
    else
      regions.back().end = std::max(regions.back().end, each.end);
  return regions;
}

}  // namespace

Permits::Permits() { permitted.clear(); }
Permits::~Permits() { permitted.clear(); }

void permit(const void* data, int64_t bytes) {
  const auto begin = reinterpret_cast<uintptr_t>(data);
  if (bytes > 0) permitted.push_back({begin, begin + uintptr_t(bytes)});
}

const char* launch_permitted(Index3 grid, int threads, int64_t shared_bytes, const std::function<void()>& body) {
  thread_local std::string found;
  std::deque<GlobalMemory> memory;
  for (const Extent& each : merged(permitted))
    memory.emplace_back("an argument", reinterpret_cast<const void*>(each.begin), int64_t(each.end - each.begin), true);
  found = launch(grid, threads, shared_bytes, body);
  return found.empty() ? nullptr : found.c_str();
}

}  // namespace laim::shim
