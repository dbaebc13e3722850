// Attention in double, forward and backward, for tests.
#pragma once
#include <limits>

#include "tests/check.h"

namespace laim::test {

struct AttentionShape {
  int64_t batch, query_heads, key_heads, queries, keys, channels, window;
  bool causal, lengths;
};

// A tensor (B, S, H, D) in memory, seen as (B, H, S, D).
template <class T>
View4<T> heads_view(T* data, const AttentionShape& s, int64_t heads, int64_t length) {
  return {data, heads * length * s.channels, s.channels, heads * s.channels, 1};
}

// The arguments of tensors that lie so; lengths: (batch), used where s.lengths.
template <class S>
AttentionArgs<S> attention_args(const AttentionShape& s, double scale, const S* q, const S* k, const S* v,
                                const int64_t* lengths, S* out, Compute<S>* lse) {
  return {s.batch,
          s.query_heads,
          s.key_heads,
          s.queries,
          s.keys,
          s.channels,
          heads_view(q, s, s.query_heads, s.queries),
          heads_view(k, s, s.key_heads, s.keys),
          heads_view(v, s, s.key_heads, s.keys),
          s.lengths ? lengths : nullptr,
          s.window,
          s.causal,
          scale,
          heads_view(out, s, s.query_heads, s.queries),
          lse};
}

template <class S>
AttentionBackwardArgs<S> attention_backward_args(const AttentionShape& s, const AttentionArgs<S>& args, const S* g,
                                                 S* dq, S* dk, S* dv) {
  return {args, heads_view(g, s, s.query_heads, s.queries), heads_view(dq, s, s.query_heads, s.queries),
          heads_view(dk, s, s.key_heads, s.keys), heads_view(dv, s, s.key_heads, s.keys)};
}

inline std::string name_of_case(const std::string& type, const AttentionShape& s) {
  return type + " attention H" + std::to_string(s.query_heads) + "/" + std::to_string(s.key_heads) + " S" +
         std::to_string(s.queries) + "/" + std::to_string(s.keys) + " D" + std::to_string(s.channels) +
         (s.causal ? " causal" : "") + " window " + std::to_string(s.window) + (s.lengths ? " lengths " : " ");
}

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
