// What the current device has: whether what is compiled for sm_90a, and how many multiprocessors.
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

// Of the current device when this is first called: how many blocks of a kernel that fills a multiprocessor are at work
// at once. On another device the number may be another, and a kernel is right with any.
inline int multiprocessors() {
#ifdef __CUDACC__
  static const int count = [] {
    int device = 0, found = 0;
    const bool known = cudaGetDevice(&device) == cudaSuccess &&
                       cudaDeviceGetAttribute(&found, cudaDevAttrMultiProcessorCount, device) == cudaSuccess;
    return known && found > 0 ? found : 1;
  }();
  return count;
#else
  return 2;  // few, so that blocks take several tiles
#endif
}

}  // namespace laim::cuda
