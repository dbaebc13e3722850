// ladder [SEQLEN [HEAD_SIZE]]: how fast each version of causal attention is on one core, from plain loops to the widest
// instruction set that this CPU has. All take turns in one process; a figure is the median, in GFLOP/s of the products
// that the mask leaves (4 D per pair of query and key forward, 10 D backward).
#include <algorithm>
#include <chrono>
#include <cstdlib>

#include "tests/plain_attention.h"

namespace laim::test {
namespace {

// The definition, row by row: what a first version looks like.
template <class S>
void plain_loops(const AttentionArgs<S>& args) {
  std::vector<float> weights(size_t(args.keys));
  for (int64_t h = 0; h < args.query_heads; ++h) {
    const auto q = args.q.matrix(0, h), k = args.k.matrix(0, h), v = args.v.matrix(0, h);
    const auto out = args.out.matrix(0, h);
    for (int64_t i = 0; i < args.queries; ++i) {
      const int64_t seen = args.mask(0).visible(i).end;
      float top = -INFINITY, sum = 0;
      for (int64_t j = 0; j < seen; ++j) {
        float score = 0;
        for (int64_t d = 0; d < args.channels; ++d) score += float(value(*q.at(i, d))) * float(value(*k.at(j, d)));
        weights[size_t(j)] = score * float(args.scale);
        top = std::max(top, weights[size_t(j)]);
      }
      for (int64_t j = 0; j < seen; ++j) sum += weights[size_t(j)] = std::exp(weights[size_t(j)] - top);
      for (int64_t d = 0; d < args.channels; ++d) {
        float total = 0;
        for (int64_t j = 0; j < seen; ++j) total += weights[size_t(j)] * float(value(*v.at(j, d)));
        *out.at(i, d) = stored<S>(total / sum);
      }
    }
  }
}

template <class Call>
double seconds_of(const Call& call) {
  const auto start = std::chrono::steady_clock::now();
  call();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + values.size() / 2, values.end());
  return values[values.size() / 2];
}

template <class S>
void climb(int64_t seqlen, int64_t channels, const char* type) {
  const AttentionShape shape = {1, 1, 1, seqlen, seqlen, channels, -1, true, false};
  const size_t size = size_t(seqlen * channels);
  const auto q = random_values<S>(size, 1), k = random_values<S>(size, 2), v = random_values<S>(size, 3);
  const auto g = random_values<S>(size, 4);
  std::vector<S> out(size), dq(size), dk(size), dv(size);
  std::vector<Compute<S>> lse(static_cast<size_t>(seqlen));
  const double scale = 1 / std::sqrt(double(channels));
  const auto args = attention_args(shape, scale, q.data(), k.data(), v.data(), static_cast<const int64_t*>(nullptr),
                                   out.data(), lse.data());
  const auto backward = attention_backward_args(shape, args, g.data(), dq.data(), dk.data(), dv.data());

  std::vector<Isa> isas;
  for (int i = 0; i < int(Isa::count); ++i)
    if (isa_supported(Isa(i))) isas.push_back(Isa(i));
  std::vector<std::vector<double>> seconds(1 + 2 * isas.size());
  for (int repetition = 0; repetition < 31; ++repetition) {
    if (repetition % 10 == 0) seconds[0].push_back(seconds_of([&] { plain_loops(args); }));
    for (size_t i = 0; i < isas.size(); ++i) {
      const Kernels<S>& kernels = kernels_of<S>(kernel_table(isas[i]));
      seconds[1 + 2 * i].push_back(seconds_of([&] { kernels.attention(args, in_order); }));
      seconds[2 + 2 * i].push_back(seconds_of([&] { kernels.attention_backward(backward, in_order); }));
    }
  }
  const double forward = 4e-9 * double(channels) * double(seqlen) * double(seqlen + 1) / 2;
  std::printf("%s %-11s forward %6.1f\n", type, "plain loops", forward / median(seconds[0]));
  for (size_t i = 0; i < isas.size(); ++i)
    std::printf("%s %-11s forward %6.1f  backward %6.1f\n", type, isa_name(isas[i]),
                forward / median(seconds[1 + 2 * i]), 2.5 * forward / median(seconds[2 + 2 * i]));
}

}  // namespace
}  // namespace laim::test

int main(int count, char** arguments) {
  const int64_t seqlen = count > 1 ? std::atoll(arguments[1]) : 512,
                channels = count > 2 ? std::atoll(arguments[2]) : 64;
  std::printf("causal attention, one head, S %lld, D %lld, one core, GFLOP/s\n", static_cast<long long>(seqlen),
              static_cast<long long>(channels));
  laim::test::climb<float>(seqlen, channels, "fp32");
  laim::test::climb<laim::bf16>(seqlen, channels, "bf16");
}
