#include "ops/tensors.h"

#include <atomic>
#include <stdexcept>

namespace laim {

void require(bool condition, const std::string& message) {
  if (!condition) throw std::runtime_error(message);
}

namespace {

// Threads take the next task as they come free: blocks under a causal mask differ in cost, and machines are shared.
void run_tasks(int64_t tasks, void (*body)(void*, int64_t), void* context) {
  const int64_t threads = std::min<int64_t>(torch::stable::get_num_threads(), tasks);
  if (threads <= 1) {
    for (int64_t task = 0; task < tasks; ++task) body(context, task);
    return;
  }
  std::atomic<int64_t> next{0};
  torch::stable::parallel_for(0, threads, 1, [&](int64_t begin, int64_t end) {
    for (int64_t thread = begin; thread < end; ++thread)
      for (int64_t task = next++; task < tasks; task = next++) body(context, task);
  });
}

}  // namespace

const Parallel& torch_threads() {
  thread_local Parallel parallel;
  parallel = {static_cast<int>(torch::stable::get_num_threads()), &run_tasks};
  return parallel;
}

}  // namespace laim
