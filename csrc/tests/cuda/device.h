// Test support for CUDA kernels: vectors in the device's memory, and launches. Compiled by a C++ compiler the device is
// the shim; compiled by nvcc, of the same tests, it is a GPU (scripts/gpu_check.sh; not yet run on a GPU).
#pragma once
#include "cuda/launch.h"
#include "cuda/numbers.cuh"
#include "tests/check.h"

#ifdef __CUDACC__
#include "cuda/launch.cuh"
#endif

namespace laim {
inline double value(fp16 x) { return to_float(x); }  // beside fp16, where the templates of check.h look for it
}  // namespace laim

namespace laim::test {

template <>
inline fp16 stored<fp16>(double x) {
  return to_fp16(float(x));
}

template <class S>
constexpr const char* name_of = cuda::is_same<S, float>  ? "float"
                                : cuda::is_same<S, bf16> ? "bf16"
                                                         : "fp16";

// Whoever reads the output of a test that is still running sees whole lines.
inline const int line_buffered = std::setvbuf(stdout, nullptr, _IOLBF, 1 << 16);

#ifdef __CUDACC__

inline void require_cuda(cudaError_t error) {
  if (error == cudaSuccess) return;
  std::printf("FAILED: %s\n", cudaGetErrorString(error));
  std::exit(1);
}

template <class T>
class Device {
 public:
  Device(const std::string& name, const std::vector<T>& values) : Device(name, int64_t(values.size())) {
    require_cuda(cudaMemcpy(data_, values.data(), values.size() * sizeof(T), cudaMemcpyHostToDevice));
  }
  Device(const std::string&, int64_t count) : count_(count) {
    require_cuda(cudaMalloc(&data_, size_t(count + 1) * sizeof(T)));
    require_cuda(cudaMemset(data_, 0xff, size_t(count) * sizeof(T)));  // NaN in every floating-point type
  }
  ~Device() { cudaFree(data_); }
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  T* data() { return data_; }
  std::vector<T> values() {
    std::vector<T> out(static_cast<size_t>(count_));
    require_cuda(cudaMemcpy(out.data(), data_, out.size() * sizeof(T), cudaMemcpyDeviceToHost));
    return out;
  }

 private:
  int64_t count_;
  T* data_;
};

template <class... Parameters, class... Arguments>
bool run(const cuda::Launch& launch, const std::string& what, void (*kernel)(Parameters...),
         const Arguments&... arguments) {
  const char* error = cuda::start(launch, nullptr, kernel, arguments...);
  check(error == nullptr, what + ": " + (error ? error : ""));
  require_cuda(cudaDeviceSynchronize());
  return error == nullptr;
}

#else

// Memory that a kernel must write before it reads it, unless it is made from values.
template <class T>
class Device {
 public:
  Device(const std::string& name, const std::vector<T>& values) : Device(name, int64_t(values.size()), true) {
    std::copy(values.begin(), values.end(), data());
  }
  Device(const std::string& name, int64_t count) : Device(name, count, false) {}

  T* data() { return storage_.data(); }
  std::vector<T> values() { return {data(), data() + count_}; }

 private:
  Device(const std::string& name, int64_t count, bool initialised)
      : count_(count),
        storage_(size_t(count + 1)),
        memory_(name, storage_.data(), count * int64_t(sizeof(T)), initialised) {}
  int64_t count_;
  std::vector<T> storage_;  // the allocator aligns to 16 bytes
  shim::GlobalMemory memory_;
};

// A finding of the shim is a failure, and is printed.
template <class... Parameters, class... Arguments>
bool run(const cuda::Launch& launch, const std::string& what, void (*kernel)(Parameters...),
         const Arguments&... arguments) {
  const shim::Index3 grid = {int(launch.x), int(launch.y), int(launch.z)};
  const std::string found = shim::launch(grid, launch.threads, launch.shared_bytes, [&] { kernel(arguments...); });
  check(found.empty(), what + ": " + found);
  return found.empty();
}

#endif

inline int summary() {
  std::printf("%d failures\n", failures);
  return failures == 0 ? 0 : 1;
}

}  // namespace laim::test
