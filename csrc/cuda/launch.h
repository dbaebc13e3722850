// How a kernel is launched, said once: csrc/cuda/sm80/*.cu launch with it on a device, the tests under the shim.
#pragma once
#include <stdint.h>

namespace laim::cuda {

struct Launch {
  uint32_t x, y, z;  // blocks
  int threads;       // per block
  int64_t shared_bytes;
};

}  // namespace laim::cuda
