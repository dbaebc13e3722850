// The sm_90a attention, bf16 and fp16, as the dispatch in sm80/attention.cu sees it, which is compiled for other
// devices too.
#pragma once
#include "cuda/kernels.h"

namespace laim::cuda {

// Whether the current device is of compute capability 9, the channels are 64 or 128 and TMA can take q, k and v.
template <class S>
bool wgmma_takes(const AttentionArgs<S>& args);

// What it takes, as attention().
template <class S>
const char* wgmma_attention(const AttentionArgs<S>& args, Stream stream);

}  // namespace laim::cuda
