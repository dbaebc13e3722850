// Attention in double, forward and backward, for tests.
#pragma once
#include <limits>

#include "tests/check.h"

namespace laim::test {

struct AttentionShape {
  int64_t batch, query_heads, key_heads, queries, keys, channels, window;
  bool causal, lengths;
};

struct PlainAttention {
  std::vector<double> out, lse, dq, dk, dv;  // lse: (batch, query_heads, queries)
};

// q, g: (batch, queries, query_heads, channels); k, v: (batch, keys, key_heads, channels). lengths: (batch), where
// s.lengths.
template <class S>
PlainAttention plain_attention(const AttentionShape& s, double scale, const std::vector<int64_t>& lengths,
                               const std::vector<S>& q, const std::vector<S>& k, const std::vector<S>& v,
                               const std::vector<S>& g) {
  const int64_t q_size = s.batch * s.query_heads * s.queries * s.channels,
                k_size = s.batch * s.key_heads * s.keys * s.channels;
  PlainAttention e;
  e.out.resize(q_size), e.dq.resize(q_size), e.dk.resize(k_size), e.dv.resize(k_size);
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
        e.lse.push_back(sum == 0 ? -std::numeric_limits<double>::infinity() : top + std::log(sum));
        if (sum == 0) continue;
        for (int64_t j = 0; j < s.keys; ++j) {
          p[j] /= sum;
          for (int64_t d = 0; d < s.channels; ++d) {
            e.out[q0 + d] += p[j] * value(v[at_k(b, kh, j) + d]);
            e.dv[at_k(b, kh, j) + d] += p[j] * value(g[q0 + d]);
            dp[j] += value(g[q0 + d]) * value(v[at_k(b, kh, j) + d]);
          }
          delta += p[j] * dp[j];
        }
        for (int64_t j = 0; j < s.keys; ++j)
          for (int64_t d = 0; d < s.channels; ++d) {
            const double ds = p[j] * (dp[j] - delta) * scale;
            e.dq[q0 + d] += ds * value(k[at_k(b, kh, j) + d]);
            e.dk[at_k(b, kh, j) + d] += ds * value(q[q0 + d]);
          }
      }
  return e;
}

}  // namespace laim::test
