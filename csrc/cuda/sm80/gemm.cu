#include "cuda/sm80/gemm.cuh"

#include "cuda/launch.cuh"
#include "cuda/sm80/float_gemm.cuh"
#ifdef LAIM_SM90
#include "cuda/sm90/gemm.h"
#endif

namespace laim::cuda {

template <class S>
const char* gemm(const GemmArgs<S>& args, const Matrix<float>& total, Stream stream) {
  if constexpr (is_same<S, float>) {
    return start(gemm_launch<FloatGemmShape>(args), stream, float_gemm_kernel<FloatGemmShape>, args, total,
                 by_pairs(args));
  } else {
#ifdef LAIM_SM90  // built for sm_90a too
    if (wgmma_takes(args)) return wgmma_gemm(args, total, stream);
#endif
    const bool left_by_rows = args.a.column_stride == 1, right_by_rows = args.b.column_stride == 1;
    if ((!left_by_rows && args.a.row_stride != 1) || (!right_by_rows && args.b.row_stride != 1))
      return "gemm: A and B must be contiguous along one dimension";
    const bool left_chunks = by_chunks(args.a.data, left_by_rows ? args.a.row_stride : args.a.column_stride);
    const bool right_chunks = by_chunks(args.b.data, right_by_rows ? args.b.row_stride : args.b.column_stride);
    const auto with = [&](auto kernel) {
      return start(gemm_launch<GemmShape>(args), stream, kernel, args, total, left_chunks, right_chunks,
                   by_pairs(args));
    };
    if (left_by_rows) return right_by_rows ? with(gemm_kernel<S, true, true>) : with(gemm_kernel<S, true, false>);
    if (right_by_rows) return with(gemm_kernel<S, false, true>);
    return "gemm: A and B both transposed is not needed by any op";
  }
}

template const char* gemm(const GemmArgs<float>&, const Matrix<float>&, Stream);
template const char* gemm(const GemmArgs<bf16>&, const Matrix<float>&, Stream);
template const char* gemm(const GemmArgs<fp16>&, const Matrix<float>&, Stream);

}  // namespace laim::cuda
