// The CUDA kernels as host functions, for callers without nvcc: plain pointers to device memory, shapes, and a stream.
// They start the work and return; nothing is allocated, nothing waits. S is float, bf16 or fp16, channels and columns
// are contiguous (stride 1). Each returns nullptr, or the reason why nothing was started.
#pragma once
#include "core/kernels.h"
#include "cuda/fp16.h"

struct CUstream_st;  // what cudaStream_t points to

namespace laim::cuda {

using Stream = CUstream_st*;

// Epilogue::accumulate adds to total (m, n) in fp32; all others write args.out. A and B are contiguous along one
// dimension.
template <class S>
const char* gemm(const GemmArgs<S>& args, const Matrix<float>& total, Stream stream);

template <class S>
const char* activation(const ActivationArgs<S>& args, Stream stream);

template <class S>
const char* norm(const NormArgs<S>& args, Stream stream);
// parts: norm_parts_count(rows, columns) floats of working memory.
template <class S>
const char* norm_backward(const NormBackwardArgs<S>& args, float* parts, Stream stream);
int64_t norm_parts_count(int64_t rows, int64_t columns);

// A target that is neither a column nor ignore_index makes its row's loss and gradient NaN.
template <class S>
const char* cross_entropy(const CrossEntropyArgs<S>& args, Stream stream);
template <class S>
const char* column_sum(const ColumnSumArgs<S>& args, Stream stream);

// Up to 256 channels.
template <class S>
const char* attention(const AttentionArgs<S>& args, Stream stream);
// delta: batch * query_heads * queries floats of working memory.
template <class S>
const char* attention_backward(const AttentionBackwardArgs<S>& args, float* delta, Stream stream);

}  // namespace laim::cuda
