// A few lines of test support: random numbers, comparison with the worst element named, tasks run in shuffled order.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "core/kernels.h"
#include "cpu/dispatch.h"

namespace laim::test {

inline int failures = 0;

inline void check(bool condition, const std::string& what) {
  if (condition) return;
  std::printf("FAILED: %s\n", what.c_str());
  ++failures;
}

template <class T>
double value(T x) {
  return double(x);
}
inline double value(bf16 x) { return to_float(x); }

// Largest difference against the largest expected magnitude; the worst element is printed.
template <class T>
void check_close(const std::vector<T>& found, const std::vector<double>& expected, double tolerance,
                 const std::string& what) {
  double worst = 0, magnitude = 1e-30;
  size_t at = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    magnitude = std::max(magnitude, std::fabs(expected[i]));
    const double off = std::fabs(value(found[i]) - expected[i]);
    if (!(off <= worst)) worst = off, at = i;
    if (std::isnan(off)) break;  // worse than any number, and no later one takes its place
  }
  if (worst <= tolerance * magnitude) return;
  std::printf("FAILED: %s: off by %.3g at element %zu (found %.9g, expected %.9g), allowed %.3g\n", what.c_str(), worst,
              at, value(found[at]), expected[at], tolerance * magnitude);
  ++failures;
}

template <class S>
S stored(double x) {
  return S(x);
}
template <>
inline bf16 stored<bf16>(double x) {
  return to_bf16(float(x));
}

template <class S>
std::vector<S> random_values(size_t count, uint64_t seed, double scale = 1.0) {
  std::mt19937_64 generator(seed);
  std::normal_distribution<double> normal(0.0, scale);
  std::vector<S> values(count);
  for (auto& x : values) x = stored<S>(normal(generator));
  return values;
}

template <class S>
std::vector<double> widened(const std::vector<S>& values) {
  std::vector<double> out(values.size());
  for (size_t i = 0; i < values.size(); ++i) out[i] = value(values[i]);
  return out;
}

// Relative to the result's magnitude: some roundings of the compute type, and one of the storage type.
template <class S>
double tolerance() {
  return sizeof(S) == 8 ? 1e-13 : sizeof(S) == 4 ? 2e-6 : 6e-3;
}
template <class S>
const char* type_name() {
  return sizeof(S) == 8 ? "double" : sizeof(S) == 4 ? "float" : "bf16";
}

// Tasks from last to first on one thread: a kernel that depends on their order shows.
inline const Parallel backwards = {3, [](int64_t tasks, void (*body)(void*, int64_t), void* context) {
                                     for (int64_t task = tasks - 1; task >= 0; --task) body(context, task);
                                   }};
// At once, for TSan.
inline const Parallel in_threads = {4, [](int64_t tasks, void (*body)(void*, int64_t), void* context) {
                                      std::vector<std::thread> threads;
                                      for (int64_t first = 0; first < 4; ++first)
                                        threads.emplace_back([=] {
                                          for (int64_t task = first; task < tasks; task += 4) body(context, task);
                                        });
                                      for (std::thread& thread : threads) thread.join();
                                    }};
inline Parallel any_order = backwards;  // main's choice
inline const Parallel in_order = {1, [](int64_t tasks, void (*body)(void*, int64_t), void* context) {
                                    for (int64_t task = 0; task < tasks; ++task) body(context, task);
                                  }};

void test_attention(const KernelTable& table);
void test_norms(const KernelTable& table);
void test_pairs(Isa isa);
void test_rows_and_products(const KernelTable& table);
void test_tile_registers(bool instructions);

}  // namespace laim::test
