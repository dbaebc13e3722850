// Starts a kernel: on a device where nvcc compiles this, else under the shim.
#pragma once
#include "cuda/kernels.h"
#include "cuda/launch.h"
#ifdef __CUDACC__
#include <cuda_runtime.h>
#else
#include "cuda/shim/launch.h"
#endif

namespace laim::cuda {

#ifdef __CUDACC__

constexpr int64_t shared_bytes_without_asking = 48 * 1024;

template <class... Parameters, class... Arguments>
const char* start(const Launch& launch, Stream stream, void (*kernel)(Parameters...), const Arguments&... arguments) {
  if (launch.x == 0) return nullptr;
  if (launch.shared_bytes > shared_bytes_without_asking) {
    const cudaError_t refused = cudaFuncSetAttribute(
        reinterpret_cast<const void*>(kernel), cudaFuncAttributeMaxDynamicSharedMemorySize, int(launch.shared_bytes));
    if (refused != cudaSuccess) return cudaGetErrorString(refused);
  }
  kernel<<<dim3(launch.x, launch.y, launch.z), unsigned(launch.threads), size_t(launch.shared_bytes), stream>>>(
      arguments...);
  const cudaError_t error = cudaGetLastError();
  return error == cudaSuccess ? nullptr : cudaGetErrorString(error);
}

#else

template <class... Parameters, class... Arguments>
const char* start(const Launch& launch, Stream, void (*kernel)(Parameters...), const Arguments&... arguments) {
  if (launch.x == 0) return nullptr;
  return shim::launch_permitted({int(launch.x), int(launch.y), int(launch.z)}, launch.threads, launch.shared_bytes,
                                [&] { kernel(arguments...); });
}

#endif

// Whether all begin at multiples of 16 bytes; null counts as aligned.
template <class... Pointers>
bool aligned(const Pointers*... pointers) {
  return ((reinterpret_cast<uintptr_t>(pointers) % 16 == 0) && ...);
}

}  // namespace laim::cuda
