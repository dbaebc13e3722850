// A case of attention, by whichever kernels, against plain loops in double.
#pragma once
#include <array>
#include <cmath>
#include <cstring>

#include "tests/cuda/device.h"
#include "tests/plain_attention.h"

namespace laim::test {

// run_attention(args, what, delta) runs kernels, with `backward` also those of the backward, and returns whether they
// came to their ends; with `again` they run twice, and the gradients must be the same bits.
template <class S, class RunAttention>
void test_attention_with(const RunAttention& run_attention, const AttentionShape& s, bool backward,
                         bool again = false) {
  const std::string what = name_of_case(name_of<S>, s);
  const int64_t q_size = s.batch * s.query_heads * s.queries * s.channels,
                k_size = s.batch * s.key_heads * s.keys * s.channels, rows = s.batch * s.query_heads * s.queries;
  std::vector<int64_t> lengths;
  for (int64_t b = 0; b < s.batch; ++b) lengths.push_back(s.keys - b * s.keys / 3);
  const auto with_padding = [&](std::vector<S> values) {  // which may hold anything
    const int64_t row = s.key_heads * s.channels;
    for (int64_t b = 0; s.lengths && b < s.batch; ++b)
      std::fill(values.begin() + (b * s.keys + lengths[b]) * row, values.begin() + (b + 1) * s.keys * row,
                stored<S>(NAN));
    return values;
  };
  const auto k_values = random_values<S>(k_size, 22), v_values = random_values<S>(k_size, 23);
  Device<S> q("q", random_values<S>(q_size, 21)), k("k", with_padding(k_values)), v("v", with_padding(v_values)),
      g("gradient", random_values<S>(q_size, 24)), out("out", q_size), dq("dq", q_size), dk("dk", k_size),
      dv("dv", k_size);
  Device<float> lse("lse", rows), delta("delta", rows);
  Device<int64_t> device_lengths("key_lengths", lengths);
  const double scale = 0.37;
  const AttentionArgs<S> args =
      attention_args<S>(s, scale, q.data(), k.data(), v.data(), device_lengths.data(), out.data(), lse.data());
  const AttentionBackwardArgs<S> back = attention_backward_args<S>(s, args, g.data(), dq.data(), dk.data(), dv.data());
  if (!run_attention(back, what, delta.data())) return;

  const PlainAttention e = plain_attention(s, scale, lengths, q.values(), k_values, v_values, g.values());
  check_close(out.values(), e.out, 2 * tolerance<S>(), what + "out");
  const auto found = lse.values();
  for (size_t i = 0; i < found.size(); ++i)
    if (!(std::fabs(found[i] - e.lse[i]) < 1e-4) && double(found[i]) != e.lse[i])
      return check(false, what + "lse " + std::to_string(i) + " is " + std::to_string(found[i]) + ", expected " +
                              std::to_string(e.lse[i]));
  if (!backward) return;
  check_close(dq.values(), e.dq, 4 * tolerance<S>(), what + "dq");
  check_close(dk.values(), e.dk, 4 * tolerance<S>(), what + "dk");
  check_close(dv.values(), e.dv, 4 * tolerance<S>(), what + "dv");
  if (!again) return;
  const auto gradients = [&] { return std::array<std::vector<S>, 3>{dq.values(), dk.values(), dv.values()}; };
  const auto first = gradients();
  if (!run_attention(back, what, delta.data())) return;
  const auto second = gradients();
  for (size_t i = 0; i < first.size(); ++i)
    check(std::memcmp(first[i].data(), second[i].data(), first[i].size() * sizeof(S)) == 0,
          what + "other bits the second time");
}

}  // namespace laim::test
