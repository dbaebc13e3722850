#include "ops/cpu_device.h"

#include <algorithm>
#include <atomic>
#include <vector>

namespace laim::LAIM_ON {
namespace {

// What is left of a thread's own tasks. Alone in its cache line: it is changed for every task.
struct alignas(64) Range {
  std::atomic<int64_t> next{0};
  int64_t end = 0;
};

// Every thread has a range of its own, the same in every call, and then takes what is left of the others': rows stay in
// the cache of the core that wrote them last, also by torch's ops, which divide them in this way, and still none waits,
// though blocks under a causal mask differ in cost and machines are shared.
void run_tasks(int64_t tasks, void (*body)(void*, int64_t), void* context) {
  const int64_t threads = std::min<int64_t>(torch::stable::get_num_threads(), tasks);
  if (threads <= 1) {
    for (int64_t task = 0; task < tasks; ++task) body(context, task);
    return;
  }
  std::vector<Range> ranges(threads);
  for (int64_t thread = 0; thread < threads; ++thread) {
    ranges[thread].next = tasks * thread / threads;
    ranges[thread].end = tasks * (thread + 1) / threads;
  }
  torch::stable::parallel_for(0, threads, 1, [&](int64_t begin, int64_t end) {
    for (int64_t thread = begin; thread < end; ++thread)
      for (int64_t offset = 0; offset < threads; ++offset) {
        Range& range = ranges[(thread + offset) % threads];
        for (int64_t task = range.next++; task < range.end; task = range.next++) body(context, task);
      }
  });
}

}  // namespace

// As torch::stable::empty, which asks the dispatcher by name.
Tensor Device::empty(const Shape& shape, ScalarType type) const {
  Shape strides(shape.size(), 1);
  for (size_t d = shape.size(); d-- > 1;) strides[d - 1] = strides[d] * std::max<int64_t>(1, shape[d]);
  AtenTensorHandle made = nullptr;
  STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_empty_strided(
      int64_t(shape.size()), shape.data(), strides.data(),
      torch::stable::detail::to<int32_t>(torch::stable::detail::from(type)), aoti_torch_device_type_cpu(), 0, &made));
  return Tensor(made);
}

const Parallel& torch_threads() {
  thread_local Parallel parallel;
  parallel = {static_cast<int>(torch::stable::get_num_threads()), &run_tasks};
  return parallel;
}

}  // namespace laim::LAIM_ON
