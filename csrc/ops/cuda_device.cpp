#include "ops/cuda_device.h"

#include <cstdlib>
#ifndef LAIM_TWIN
#include <dlfcn.h>
#endif

namespace laim::LAIM_ON {

bool Device::own_products() {
  static const char* const asked = std::getenv("LAIMBENCH_CUDA_PRODUCTS");
  static const bool own = asked == nullptr || std::string(asked) != "stock";
  return own;
}

#ifdef LAIM_TWIN

Device::Device(const Tensor& of) : device_(of.device()) {}

#else
namespace {

// Torch's function for it is in its CUDA library, which this module must do without where torch is a CPU build. What it
// is called is part of the stable ABI's C interface; a handle for it is only from torch 2.13 on.
cuda::Stream current_stream(int32_t device) {
  using Get = AOTITorchError (*)(int32_t, void**);
  static const Get get = reinterpret_cast<Get>(dlsym(RTLD_DEFAULT, "aoti_torch_get_current_cuda_stream"));
  require(get != nullptr, "laimbench: this torch has no CUDA");
  void* stream = nullptr;
  require(get(device, &stream) == AOTI_TORCH_SUCCESS, "laimbench: torch has no current CUDA stream");
  return static_cast<cuda::Stream>(stream);
}

}  // namespace

Device::Device(const Tensor& of)
    : device_(of.device()), guard_(of.get_device_index()), stream_(current_stream(of.get_device_index())) {}

#endif

}  // namespace laim::LAIM_ON
