// The sm_90a product, bf16 and fp16, as the dispatch in sm80/gemm.cu sees it, which is compiled for other devices too.
#pragma once
#include "cuda/kernels.h"

namespace laim::cuda {

// Whether the current device is of compute capability 9 and TMA can take A and B.
template <class S>
bool wgmma_takes(const GemmArgs<S>& args);

// What it takes, as gemm().
template <class S>
const char* wgmma_gemm(const GemmArgs<S>& args, const Matrix<float>& total, Stream stream);

}  // namespace laim::cuda
