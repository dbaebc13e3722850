#include "cuda/sm90/gemm.cuh"

#include "cuda/launch.cuh"
#include "cuda/sm90/device.h"
#include "cuda/sm90/gemm.h"

namespace laim::cuda {
namespace {

template <class S>
bool fits(const Matrix<const S>& matrix, int64_t rows, int64_t columns) {
  if (matrix.column_stride == 1) return fits_tensor_map(matrix.data, columns, rows, matrix.row_stride);
  return matrix.row_stride == 1 && fits_tensor_map(matrix.data, rows, columns, matrix.column_stride);
}

}  // namespace

template <class S>
bool wgmma_takes(const GemmArgs<S>& args) {
  const bool transposed = args.a.column_stride != 1 && args.b.column_stride != 1;  // both: not needed by any op
  return !transposed && fits(args.a, args.m, args.k) && fits(args.b, args.k, args.n) && device_is_sm90();
}

template <class S>
const char* wgmma_gemm(const GemmArgs<S>& args, const Matrix<float>& total, Stream stream) {
  TensorMap left, right;
  if (const char* error = operand_maps(args, &left, &right)) return error;
  const Launch launch = wgmma_gemm_launch(args, multiprocessors());
  const auto with = [&](auto kernel) {
    return start(launch, stream, kernel, args, total, left, right, int(launch.x), by_pairs(args));
  };
  const bool right_by_rows = args.b.column_stride == 1;
  if (args.a.column_stride != 1) return with(wgmma_gemm_kernel<S, false, true>);
  return right_by_rows ? with(wgmma_gemm_kernel<S, true, true>) : with(wgmma_gemm_kernel<S, true, false>);
}

template bool wgmma_takes(const GemmArgs<bf16>&);
template bool wgmma_takes(const GemmArgs<fp16>&);
template const char* wgmma_gemm(const GemmArgs<bf16>&, const Matrix<float>&, Stream);
template const char* wgmma_gemm(const GemmArgs<fp16>&, const Matrix<float>&, Stream);

}  // namespace laim::cuda
