// The kernels' interface: plain pointers, strides and shapes. One table of functions per instruction set
// and storage type; csrc/cpu/dispatch.cpp picks the table once.
#pragma once
#include "core/common.h"
#include "core/mask.h"
#include "core/parallel.h"

namespace laim {

enum class Activation : int { relu, gelu, gelu_tanh, silu };

// What happens to a tile of C = A B after the sum over k is complete.
enum class Epilogue : int {
  store,            // out = C
  accumulate,       // total += C, in the compute type
  bias,             // out = C + bias
  bias_activation,  // pre = C + bias (when pre is given), out = act(C + bias), times up when up is given
  gradient,         // out = C * act'(pre), activated = act(pre); with up both times up, and gradient_up = C * act(pre)
};

template <class S>
struct GemmArgs {
  int64_t m, n, k;
  Matrix<const S> a, b;  // (m, k), (k, n)
  Matrix<S> out;         // (m, n), column_stride 1
  Epilogue epilogue = Epilogue::store;
  Activation activation = Activation::relu;
  const S* bias = nullptr;   // (n) or null
  Matrix<S> pre = {};        // (m, n), column_stride 1
  Matrix<S> activated = {};  // (m, n), column_stride 1
  // What a gated MLP multiplies the activation by, and its gradient: (m, n), column_stride 1
  Matrix<const S> up = {};
  Matrix<S> gradient_up = {};
};

// Elementwise: the activation on its own, for storage types whose GEMM is stock's.
template <class S>
struct ActivationArgs {
  int64_t count;
  Activation activation;
  const S* pre;
  const S* gradient;         // null: forward
  S* activated;              // act(pre), times up when up is given
  S* out;                    // backward: gradient * act'(pre), times up when up is given
  const S* up = nullptr;     // null: the MLP has no gate
  S* gradient_up = nullptr;  // backward, with up: gradient * act(pre)
};

template <class S>
struct ColumnSumArgs {
  int64_t rows, columns;
  Matrix<const S> in;  // column_stride 1
  Compute<S>* out;     // (columns)
  bool accumulate;
};

// Layer norm; RMS norm where mean is null.
template <class S>
struct NormArgs {
  int64_t rows, columns;
  const S* x;         // (rows, columns), contiguous, as all below
  const S* residual;  // or null
  const S* weight;    // (columns) or null
  const S* bias;      // or null
  double eps;
  S* out;
  S* sum;            // x + residual, when residual is given
  Compute<S>* mean;  // (rows) or null
  Compute<S>* rstd;  // (rows)
};

template <class S>
struct NormBackwardArgs {
  int64_t rows, columns;
  const S* gradient;       // of out
  const S* gradient_sum;   // of sum, or null
  const S* sum;            // what was normalised
  const S* weight;         // or null
  const Compute<S>* mean;  // null: RMS norm
  const Compute<S>* rstd;
  S* gradient_x;
  S* gradient_weight;  // or null
  S* gradient_bias;    // or null
};

// Cross-entropy of rows of logits; the gradient replaces the logits.
template <class S>
struct CrossEntropyArgs {
  int64_t rows, columns;
  S* logits;              // (rows, columns) contiguous
  const int64_t* target;  // (rows)
  int64_t ignore_index;
  const Compute<S>* scale;  // (rows) gradient of each row's loss; null: no gradient wanted
  Compute<S>* loss;         // (rows); 0 where ignored
};

// A (batch, heads, rows, channels) tensor by strides in elements.
template <class S>
struct View4 {
  S* data;
  int64_t batch, head, row, channel;
  LAIM_INLINE Matrix<S> matrix(int64_t b, int64_t h) const { return {data + b * batch + h * head, row, channel}; }
};

template <class S>
struct AttentionArgs {
  int64_t batch, query_heads, key_heads, queries, keys, channels;
  View4<const S> q, k, v;
  const int64_t* key_lengths;  // (batch) or null
  int64_t window;
  bool causal;
  double scale;
  View4<S> out;
  Compute<S>* lse;  // (batch, query_heads, queries): log of the sum of exp(scores); -inf where no key is seen

  LAIM_INLINE Mask mask(int64_t b) const {
    const int64_t length = key_lengths ? clamp(key_lengths[b], 0, keys) : keys;
    return {queries, keys, length, window, causal};
  }
};

template <class S>
struct AttentionBackwardArgs {
  AttentionArgs<S> forward;
  View4<const S> gradient;  // of out
  View4<S> gradient_q, gradient_k, gradient_v;
};

template <class S>
struct Kernels {
  // Null where stock's product is the better one: bf16 without dot products of pairs. total: (m, n), of
  // Epilogue::accumulate.
  void (*gemm)(const GemmArgs<S>&, const Matrix<Compute<S>>& total, const Parallel&);
  void (*activation)(const ActivationArgs<S>&, const Parallel&);
  void (*column_sum)(const ColumnSumArgs<S>&, const Parallel&);
  void (*norm)(const NormArgs<S>&, const Parallel&);
  void (*norm_backward)(const NormBackwardArgs<S>&, const Parallel&);
  void (*cross_entropy)(const CrossEntropyArgs<S>&, const Parallel&);
  void (*attention)(const AttentionArgs<S>&, const Parallel&);
  void (*attention_backward)(const AttentionBackwardArgs<S>&, const Parallel&);
};

struct KernelTable {
  Kernels<double> f64;
  Kernels<float> f32;
  Kernels<bf16> bf;
};

}  // namespace laim
