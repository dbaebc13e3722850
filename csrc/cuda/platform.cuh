// What kernels stand on, once for the device and once for the shim: indices, shared memory, and loads and stores that
// the shim checks. On the device all of this is what it says and nothing more: Site is empty and vanishes.
#pragma once
#include "core/common.h"

#ifdef __CUDACC__
#include <cuda_runtime.h>
#define LAIM_DEVICE __device__ __forceinline__
#define LAIM_KERNEL(threads, blocks_per_sm) __global__ void __launch_bounds__(threads, blocks_per_sm)
#define LAIM_ARGUMENT const __grid_constant__
#define LAIM_UNROLL _Pragma("unroll")
#define LAIM_TEXT(x) #x
#define LAIM_UNROLL_BY(n) _Pragma(LAIM_TEXT(unroll n))
#define LAIM_ROLLED _Pragma("unroll 1")
#else
#include "cuda/shim/shim.h"
#define LAIM_DEVICE inline
#define LAIM_KERNEL(threads, blocks_per_sm) void
#define LAIM_ARGUMENT const
#define LAIM_UNROLL
#define LAIM_UNROLL_BY(n)
#define LAIM_ROLLED
#endif

namespace laim::cuda {

constexpr int warp_size = 32;

// 16 bytes that move in one instruction.
struct alignas(16) Chunk {
  uint32_t word[4];
};

#ifdef __CUDACC__

struct Site {};
LAIM_DEVICE int thread_index() { return int(threadIdx.x); }
LAIM_DEVICE int64_t block_x() { return blockIdx.x; }
LAIM_DEVICE int64_t block_y() { return blockIdx.y; }
LAIM_DEVICE int64_t block_z() { return blockIdx.z; }
LAIM_DEVICE uint8_t* shared_memory() {
  extern __shared__ __align__(1024) uint8_t laim_shared[];
  return laim_shared;
}
template <class T>
LAIM_DEVICE T load_shared(const T* at, Site = {}) {
  return *at;
}
template <class T>
LAIM_DEVICE void store_shared(T* at, const T& value, Site = {}) {
  *at = value;
}
template <class T>
LAIM_DEVICE T load_global(const T* at, Site = {}) {
  return *at;
}
template <class T>
LAIM_DEVICE void store_global(T* at, const T& value, Site = {}) {
  *at = value;
}

#else

using shim::Site;
inline int thread_index() { return shim::thread_index(); }
inline int64_t block_x() { return shim::block_index().x; }
inline int64_t block_y() { return shim::block_index().y; }
inline int64_t block_z() { return shim::block_index().z; }
inline uint8_t* shared_memory() { return shim::shared_memory(); }
template <class T>
T load_shared(const T* at, Site site = Site()) {
  shim::check_read(shim::Space::shared, at, sizeof(T), alignof(T), site);
  return *at;
}
template <class T>
void store_shared(T* at, const T& value, Site site = Site()) {
  shim::check_write(shim::Space::shared, at, sizeof(T), alignof(T), site);
  *at = value;
}
template <class T>
T load_global(const T* at, Site site = Site()) {
  shim::check_read(shim::Space::global, at, sizeof(T), alignof(T), site);
  return *at;
}
template <class T>
void store_global(T* at, const T& value, Site site = Site()) {
  shim::check_write(shim::Space::global, at, sizeof(T), alignof(T), site);
  *at = value;
}

#endif

LAIM_DEVICE int lane_index() { return thread_index() % warp_size; }
LAIM_DEVICE int warp_index() { return thread_index() / warp_size; }

}  // namespace laim::cuda
