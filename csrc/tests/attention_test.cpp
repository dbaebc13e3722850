// Attention forward and backward against plain loops in double, over masks, groups of heads and ragged blocks.
#include "tests/plain_attention.h"

namespace laim::test {
namespace {

using Shape = AttentionShape;

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
  const double scale = s.channels % 2 == 1 ? -0.37 : 0.37;
  const auto args = attention_args(s, scale, q.data(), k.data(), v.data(), lengths.data(), out.data(), lse.data());
  kernels.attention(args, any_order);
  kernels.attention_backward(attention_backward_args(s, args, g.data(), dq.data(), dk.data(), dv.data()), any_order);

  const PlainAttention e = plain_attention(s, scale, lengths, q, k, v, g);
  const std::string what = name_of_case(type_name<S>(), s);
  const auto trimmed = [](auto values) {
    values.pop_back();
    return values;
  };
  check_close(trimmed(out), e.out, 2 * tolerance<S>(), what + "out");
  check_close(trimmed(dq), e.dq, 4 * tolerance<S>(), what + "dq");
  check_close(trimmed(dk), e.dk, 4 * tolerance<S>(), what + "dk");
  check_close(trimmed(dv), e.dv, 4 * tolerance<S>(), what + "dv");
}

}  // namespace

void test_attention(const KernelTable& table) {
  const Shape shapes[] = {
      {1, 1, 1, 1, 1, 1, -1, false, false},
      {2, 2, 1, 5, 7, 3, -1, true, false},
      {1, 2, 2, 97, 97, 16, -1, true, false},
      {2, 4, 2, 100, 130, 20, -1, false, true},
      {1, 3, 1, 200, 200, 8, 30, true, false},
      {2, 1, 1, 33, 230, 40, 12, false, true},
      {1, 1, 1, 230, 33, 8, -1, true, false},
      {1, 1, 1, 96, 192, 64, -1, false, false},
      {1, 1, 1, 3, 0, 4, -1, false, false},
      {1, 2, 2, 0, 5, 4, -1, true, false},
      {1, 1, 1, 101, 101, 70, 7, true, false},
      {1, 2, 1, 130, 151, 129, -1, true, false},
      // keys enough for several pieces in the backward
      {1, 2, 1, 300, 2400, 8, -1, true, false},
      {1, 1, 1, 1600, 1600, 5, 50, true, false},
      {2, 1, 1, 130, 1700, 20, -1, false, true},
      {1, 1, 1, 900, 1560, 16, -1, true, false},
  };
  for (const Shape& shape : shapes) {
    test_case(table.f64, shape);
    test_case(table.f32, shape);
    test_case(table.bf, shape);
  }
}

}  // namespace laim::test
