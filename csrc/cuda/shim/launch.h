// The shim as the device of whole ops (csrc/ops compiled with LAIM_TWIN): what it lets kernels touch is what the op at
// work has taken pointers of.
#pragma once
#include "cuda/shim/shim.h"

namespace laim::shim {

// An op of this thread: what is permitted while the object lives is permitted to the op's launches.
class Permits {
 public:
  Permits();
  ~Permits();
  Permits(const Permits&) = delete;
  Permits& operator=(const Permits&) = delete;
};
void permit(const void* data, int64_t bytes);

// Returns nullptr, or what was wrong (until the thread's next launch).
const char* launch_permitted(Index3 grid, int threads, int64_t shared_bytes, const std::function<void()>& body);

}  // namespace laim::shim
