// Starts a kernel on a device.
#pragma once
#include <cuda_runtime.h>

#include "cuda/kernels.h"
#include "cuda/launch.h"

namespace laim::cuda {

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

// Whether all begin at multiples of 16 bytes; null counts as aligned.
template <class... Pointers>
bool aligned(const Pointers*... pointers) {
  return ((reinterpret_cast<uintptr_t>(pointers) % 16 == 0) && ...);
}

}  // namespace laim::cuda
