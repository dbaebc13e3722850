// wgmma: who may read shared memory when, and when sums arrive in registers.
#include <algorithm>
#include <cmath>

#include "cuda/shim/machine.h"

namespace laim::shim {
namespace {

constexpr int warps_of_group = warpgroup_size / warp_size;

int first_thread() { return machine.current / warpgroup_size * warpgroup_size; }
Warp& warp_of_group(int warp) { return machine.warps[size_t(first_thread() / warp_size + warp)]; }

}  // namespace

void check_async_work_of_thread() {
  const Warp& warp = own_warp();
  if (!self().accumulators.empty() || !warp.uncommitted.empty())
    fail("the thread ends before it has waited for this wgmma", warp.uncommitted_site);
}

void warpgroup_collective(const char* what, Site site, void* argument, void (*run)(void* const (&threads)[128])) {
  const size_t leader = size_t(machine.current / warpgroup_size * warps_of_group);
  gather(machine.warps[leader].warpgroup, warpgroup_size, what, site, argument,
         [&](void* const* threads) { run(*reinterpret_cast<void* const(*)[warpgroup_size]>(threads)); });
}

void wgmma_fence(Site site) {
  warp_collective("wgmma.fence", site, nullptr, [](void* const(&)[32]) {
    for (int lane = 0; lane < warp_size; ++lane)
      machine.threads[size_t(machine.current / warp_size * warp_size + lane)]->wgmma_fenced = true;
  });
}

WgmmaOperands::WgmmaOperands(Site site) : site_(site) {
  observed_ = self().observed;
  for (int t = first_thread(); t < first_thread() + warpgroup_size; ++t) {
    const Thread& thread = *machine.threads[size_t(t)];
    if (!thread.wgmma_fenced)
      fail("wgmma.mma_async of thread " + std::to_string(t) + " in a group that no wgmma.fence begins", site);
    for (size_t i = 0; i < observed_.size(); ++i) observed_[i] = std::min(observed_[i], thread.observed[i]);
  }
  for (int warp = 0; warp < warps_of_group; ++warp) warp_of_group(warp).uncommitted_site = site;
}

const uint8_t* WgmmaOperands::read(int warp, int64_t offset, int64_t bytes) {
  const uint8_t* at = machine.shared.get() + offset;
  find(Space::shared, at, bytes, site_);
  Actor reader = actor(site_);
  reader.thread = first_thread() + warp * warp_size;
  reader.observed = observed_.data();
  const std::string wrong = machine.shared_shadow->read_async(
      offset, bytes, reader, [](int thread) { return machine.threads[size_t(thread)]->proxy_fences; });
  if (!wrong.empty()) fail(wrong, site_);
  warp_of_group(warp).uncommitted.push_back({offset, bytes});
  return at;
}

float* WgmmaOperands::accumulator(int thread, float* registers, int count) {
  const Warp& warp = warp_of_group(thread / warp_size);
  const int64_t group = warp.groups_complete + int64_t(warp.groups.size());
  auto& pending = machine.threads[size_t(first_thread() + thread)]->accumulators;
  for (Accumulator& each : pending)
    if (each.registers == registers) {
      each.group = group;
      return each.values.data();
    }
  pending.push_back({registers, std::vector<float>(registers, registers + count), group});
  std::fill(registers, registers + count, std::nanf(""));
  return pending.back().values.data();
}

void WgmmaOperands::pin_registers(int thread, const uint32_t* registers, int count) {
  const Warp& warp = warp_of_group(thread / warp_size);
  machine.threads[size_t(first_thread() + thread)]->operands.push_back(
      {registers, std::vector<uint32_t>(registers, registers + count),
       warp.groups_complete + int64_t(warp.groups.size()), site_});
}

void wgmma_commit(Site site) {
  warp_collective("wgmma.commit_group", site, nullptr, [](void* const(&)[32]) {
    Warp& warp = own_warp();
    warp.groups.push_back(std::move(warp.uncommitted));
    warp.uncommitted.clear();
    for (int lane = 0; lane < warp_size; ++lane)
      machine.threads[size_t(machine.current / warp_size * warp_size + lane)]->wgmma_fenced = false;
  });
}

void wgmma_wait(int groups_left, Site site) {
  warp_collective("wgmma.wait_group", site, &groups_left, [](void* const(&lanes)[32]) {
    Warp& warp = own_warp();
    while (int(warp.groups.size()) > *static_cast<int*>(lanes[0])) {
      for (const Pin& pin : warp.groups.front()) machine.shared_shadow->unpin(pin.offset, pin.bytes);
      warp.groups.pop_front();
      ++warp.groups_complete;
    }
    for (int lane = 0; lane < warp_size; ++lane) {
      Thread& thread = *machine.threads[size_t(machine.current / warp_size * warp_size + lane)];
      const auto read = [&](const OperandRegisters& each) {
        if (each.group >= warp.groups_complete) return false;
        if (!std::equal(each.values.begin(), each.values.end(), each.registers))
          fail("the registers of A of lane " + std::to_string(lane) +
                   " changed before the wgmma that reads them had been waited for",
               each.site);
        return true;
      };
      thread.operands.erase(std::remove_if(thread.operands.begin(), thread.operands.end(), read),
                            thread.operands.end());
      auto& pending = thread.accumulators;
      const auto arrived = [&](Accumulator& each) {
        if (each.group >= warp.groups_complete) return false;
        std::copy(each.values.begin(), each.values.end(), each.registers);
        return true;
      };
      pending.erase(std::remove_if(pending.begin(), pending.end(), arrived), pending.end());
    }
  });
}

}  // namespace laim::shim
