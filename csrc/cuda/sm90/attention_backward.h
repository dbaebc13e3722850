// The sm_90a attention backward, bf16 and fp16, as the dispatch in sm80/attention_backward.cu sees it, which is
// compiled for other devices too.
#pragma once
#include "cuda/kernels.h"

namespace laim::cuda {

// Whether the current device is of compute capability 9, the channels are 64 or 128 and TMA can take q, k, v and the
// gradient.
template <class S>
bool wgmma_takes(const AttentionBackwardArgs<S>& args);

// What it takes, as attention_backward(), but for delta, which is there already.
template <class S>
const char* wgmma_attention_backward(const AttentionBackwardArgs<S>& args, const float* delta, Stream stream);

}  // namespace laim::cuda
