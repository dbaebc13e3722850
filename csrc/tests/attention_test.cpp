// Attention forward and backward against plain loops in double, over masks, groups of heads and ragged blocks.
#include <limits>

#include "tests/check.h"

namespace laim::test {
namespace {

struct Shape {
  int64_t batch, query_heads, key_heads, queries, keys, channels, window;
  bool causal, lengths;
};

template <class S>
void test_case(const Kernels<S>& kernels, const Shape& s) {
  using T = Compute<S>;
  const int64_t q_size = s.batch * s.query_heads * s.queries * s.channels,
                k_size = s.batch * s.key_heads * s.keys * s.channels;
  const auto q = random_values<S>(q_size + 1, 21), k = random_values<S>(k_size + 1, 22),
             v = random_values<S>(k_size + 1, 23), g = random_values<S>(q_size + 1, 24);
  std::vector<int64_t> lengths;
  for (int64_t b = 0; b < s.batch; ++b) lengths.push_back(b * s.keys / 2);
  std::vector<S> out(q_size + 1), dq(q_size + 1), dk(k_size + 1), dv(k_size + 1);
  std::vector<T> lse(s.batch * s.query_heads * s.queries + 1);
  const auto view = [&](auto* data, int64_t heads, int64_t rows) {  // (B, S, H, D) in memory
    return View4<std::remove_pointer_t<decltype(data)>>{data, heads * rows * s.channels, s.channels, heads * s.channels,
                                                        1};
  };
  const double scale = 0.37;
  const AttentionArgs<S> args = {s.batch,
                                 s.query_heads,
                                 s.key_heads,
                                 s.queries,
                                 s.keys,
                                 s.channels,
                                 view(q.data(), s.query_heads, s.queries),
                                 view(k.data(), s.key_heads, s.keys),
                                 view(v.data(), s.key_heads, s.keys),
                                 s.lengths ? lengths.data() : nullptr,
                                 s.window,
                                 s.causal,
                                 scale,
                                 view(out.data(), s.query_heads, s.queries),
                                 lse.data()};
  kernels.attention(args, backwards);
  kernels.attention_backward({args, view(g.data(), s.query_heads, s.queries), view(dq.data(), s.query_heads, s.queries),
                              view(dk.data(), s.key_heads, s.keys), view(dv.data(), s.key_heads, s.keys)},
                             backwards);

  std::vector<double> e_out(out.size()), e_dq(out.size()), e_dk(dk.size()), e_dv(dv.size());
  const auto at_q = [&](int64_t b, int64_t h, int64_t i) {
    return ((b * s.queries + i) * s.query_heads + h) * s.channels;
  };
  const auto at_k = [&](int64_t b, int64_t h, int64_t j) { return ((b * s.keys + j) * s.key_heads + h) * s.channels; };
  for (int64_t b = 0; b < s.batch; ++b)
    for (int64_t h = 0; h < s.query_heads; ++h)
      for (int64_t i = 0; i < s.queries; ++i) {
        const int64_t kh = h / (s.query_heads / s.key_heads), q0 = at_q(b, h, i), position = i + s.keys - s.queries;
        std::vector<double> p(s.keys, -std::numeric_limits<double>::infinity()), dp(s.keys);
        double top = -1e300, sum = 0, delta = 0;
        for (int64_t j = 0; j < s.keys; ++j) {
          if ((s.lengths && j >= lengths[b]) || (s.causal && j > position)) continue;
          if (s.window >= 0 && std::abs(j - position) >= s.window) continue;
          double dot = 0;
          for (int64_t d = 0; d < s.channels; ++d) dot += value(q[q0 + d]) * value(k[at_k(b, kh, j) + d]);
          p[j] = dot * scale;
          top = std::max(top, p[j]);
        }
        for (auto& x : p) sum += x = std::exp(x - top);
        if (sum == 0) continue;
        for (int64_t j = 0; j < s.keys; ++j) {
          p[j] /= sum;
          for (int64_t d = 0; d < s.channels; ++d) {
            e_out[q0 + d] += p[j] * value(v[at_k(b, kh, j) + d]);
            e_dv[at_k(b, kh, j) + d] += p[j] * value(g[q0 + d]);
            dp[j] += value(g[q0 + d]) * value(v[at_k(b, kh, j) + d]);
          }
          delta += p[j] * dp[j];
        }
        for (int64_t j = 0; j < s.keys; ++j)
          for (int64_t d = 0; d < s.channels; ++d) {
            const double ds = p[j] * (dp[j] - delta) * scale;
            e_dq[q0 + d] += ds * value(k[at_k(b, kh, j) + d]);
            e_dk[at_k(b, kh, j) + d] += ds * value(q[q0 + d]);
          }
      }
  const std::string what = std::string(type_name<S>()) + " attention H" + std::to_string(s.query_heads) + "/" +
                           std::to_string(s.key_heads) + " S" + std::to_string(s.queries) + "/" +
                           std::to_string(s.keys) + " D" + std::to_string(s.channels) + (s.causal ? " causal" : "") +
                           " window " + std::to_string(s.window) + (s.lengths ? " lengths " : " ");
  const auto trimmed = [](auto values) {
    values.pop_back();
    return values;
  };
  check_close(trimmed(out), trimmed(e_out), 2 * tolerance<S>(), what + "out");
  check_close(trimmed(dq), trimmed(e_dq), 4 * tolerance<S>(), what + "dq");
  check_close(trimmed(dk), trimmed(e_dk), 4 * tolerance<S>(), what + "dk");
  check_close(trimmed(dv), trimmed(e_dv), 4 * tolerance<S>(), what + "dv");
}

}  // namespace

void test_attention(const KernelTable& table) {
  const Shape shapes[] = {
      {1, 1, 1, 1, 1, 1, -1, false, false},    {2, 2, 1, 5, 7, 3, -1, true, false},
      {1, 2, 2, 97, 97, 16, -1, true, false},  {2, 4, 2, 100, 130, 20, -1, false, true},
      {1, 3, 1, 200, 200, 8, 30, true, false}, {2, 1, 1, 33, 230, 40, 12, false, true},
      {1, 1, 1, 230, 33, 8, -1, true, false},  {1, 1, 1, 96, 192, 64, -1, false, false},
      {1, 1, 1, 3, 0, 4, -1, false, false},    {1, 2, 2, 0, 5, 4, -1, true, false},
  };
  for (const Shape& shape : shapes) {
    test_case(table.f64, shape);
    test_case(table.f32, shape);
    test_case(table.bf, shape);
  }
}

}  // namespace laim::test
