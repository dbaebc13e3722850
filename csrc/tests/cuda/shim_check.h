// Test support for kernels under the shim: vectors that kernels may touch, and launches that fail a test by what the
// shim says.
#pragma once
#include "cuda/launch.h"
#include "cuda/numbers.cuh"
#include "cuda/shim/shim.h"
#include "tests/check.h"

namespace laim {
inline double value(fp16 x) { return to_float(x); }  // beside fp16, where the templates of check.h look for it
}  // namespace laim

namespace laim::test {

template <>
inline fp16 stored<fp16>(double x) {
  return to_fp16(float(x));
}

template <class S>
constexpr const char* name_of = cuda::is_same<S, bf16> ? "bf16" : "fp16";

// Whoever reads the output of a test that is still running sees whole lines.
inline const int line_buffered = std::setvbuf(stdout, nullptr, _IOLBF, 1 << 16);

// A vector in the simulated device's memory. `offset` elements before it leave it unaligned.
template <class T>
class Device {
 public:
  Device(std::string name, std::vector<T> values, int64_t offset = 0)
      : Device(std::move(name), int64_t(values.size()), offset, true) {
    std::copy(values.begin(), values.end(), data());
  }
  // Not written yet: a kernel that reads it is wrong.
  Device(std::string name, int64_t count, int64_t offset = 0) : Device(std::move(name), count, offset, false) {}

  T* data() { return storage_.data() + offset_; }
  std::vector<T> values() { return {data(), data() + count_}; }

 private:
  Device(std::string name, int64_t count, int64_t offset, bool initialised)
      : offset_(offset),
        count_(count),
        storage_(size_t(count + offset + 1)),
        memory_(std::move(name), storage_.data() + offset, count * int64_t(sizeof(T)), initialised) {}
  int64_t offset_, count_;
  std::vector<T> storage_;  // the allocator aligns to 16 bytes
  shim::GlobalMemory memory_;
};

// Runs a kernel; a finding of the shim is a failure, and is printed.
template <class Body>
bool run(const cuda::Launch& launch, const std::string& what, const Body& body) {
  const shim::Index3 grid = {int(launch.x), int(launch.y), int(launch.z)};
  const std::string found = shim::launch(grid, launch.threads, launch.shared_bytes, body);
  check(found.empty(), what + ": " + found);
  return found.empty();
}

inline int summary() {
  std::printf("%d failures\n", failures);
  return failures == 0 ? 0 : 1;
}

}  // namespace laim::test
