// The ops as torch sees them, registered in register.cpp; their schemas are in library.cpp. Arguments have been checked
// by the Python functions; what is checked here is only what would read or write outside a tensor.
#pragma once
#include <tuple>

#include "ops/tensors.h"

namespace laim::LAIM_ON {

std::tuple<Tensor, Tensor> attention(Tensor q, Tensor k, Tensor v, bool causal, double scale,
                                     OptionalTensor key_lengths, int64_t window);
std::tuple<Tensor, Tensor, Tensor> attention_backward(Tensor gradient, Tensor q, Tensor k, Tensor v, Tensor out,
                                                      Tensor lse, bool causal, double scale, OptionalTensor key_lengths,
                                                      int64_t window);

Tensor linear(Tensor x, Tensor w, OptionalTensor b);
std::tuple<Tensor, Tensor, Tensor> linear_backward(Tensor gradient, Tensor x, Tensor w, bool need_x, bool need_b);

std::tuple<Tensor, Tensor> mlp(Tensor x, Tensor w1, OptionalTensor b1, Tensor w2, OptionalTensor b2, int64_t activation,
                               bool keep_pre);
std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor> mlp_backward(Tensor gradient, Tensor x, Tensor w1, Tensor w2,
                                                                Tensor pre, int64_t activation, bool need_x,
                                                                bool need_b1, bool need_b2);

std::tuple<Tensor, Tensor, Tensor> gated_mlp(Tensor x, Tensor w_gate, Tensor w_up, Tensor w_down, int64_t activation,
                                             bool keep);
std::tuple<Tensor, Tensor, Tensor, Tensor> gated_mlp_backward(Tensor gradient, Tensor x, Tensor w_gate, Tensor w_up,
                                                              Tensor w_down, Tensor gate, Tensor up, int64_t activation,
                                                              bool need_x);

std::tuple<Tensor, Tensor, Tensor, Tensor> layer_norm(Tensor x, OptionalTensor weight, OptionalTensor bias, double eps,
                                                      OptionalTensor residual);
std::tuple<Tensor, Tensor, Tensor> layer_norm_backward(Tensor gradient, OptionalTensor gradient_sum, Tensor sum,
                                                       OptionalTensor weight, Tensor mean, Tensor rstd, bool need_b);

std::tuple<Tensor, Tensor, Tensor> rms_norm(Tensor x, OptionalTensor weight, double eps, OptionalTensor residual);
std::tuple<Tensor, Tensor> rms_norm_backward(Tensor gradient, OptionalTensor gradient_sum, Tensor sum,
                                             OptionalTensor weight, Tensor rstd);

std::tuple<Tensor, Tensor, Tensor, Tensor> linear_cross_entropy(Tensor x, Tensor w, OptionalTensor b, Tensor target,
                                                                int64_t ignore_index, OptionalTensor scale,
                                                                bool with_gradients);

}  // namespace laim::LAIM_ON
