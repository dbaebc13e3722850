// Whether the current device has what is compiled for sm_90a.
#pragma once
#ifdef __CUDACC__
#include <cuda_runtime.h>
#else
#include <cstdlib>
#endif

namespace laim::cuda {

// wgmma is on no other.
inline bool device_is_sm90() {
#ifdef __CUDACC__
  int device = 0, major = 0;
  return cudaGetDevice(&device) == cudaSuccess &&
         cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device) == cudaSuccess && major == 9;
#else
  static const char* const asked = std::getenv("LAIMBENCH_TWIN_SM90");  // which device the shim stands for
  return asked != nullptr;
#endif
}

}  // namespace laim::cuda
