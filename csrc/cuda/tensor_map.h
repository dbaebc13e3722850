// What TMA needs to know about a matrix in global memory: made on the host, handed to the kernel as an argument.
#pragma once
#include <stdint.h>

#ifdef __CUDACC__
#include <cuda.h>
#include <cuda_runtime.h>
#else
#include "cuda/shim/shim.h"
#endif

namespace laim::cuda {

#ifdef __CUDACC__
using TensorMap = CUtensorMap;
#else
using TensorMap = shim::TileSource;
#endif

// Boxes of 64 columns, which are 128 bytes and what the 128-byte swizzle covers.
constexpr int box_columns = 64;

// Whether TMA takes a matrix of 16-bit elements, `stride` of them from row to row.
inline bool fits_tensor_map(const void* data, int64_t columns, int64_t rows, int64_t stride) {
  constexpr int64_t most = int64_t(1) << 31;  // what a coordinate holds
  return reinterpret_cast<uintptr_t>(data) % 16 == 0 && stride % 8 == 0 && columns > 0 && rows > 0 &&
         columns <= stride && stride < most && rows < most;
}

// A matrix that fits, in boxes of box_rows (at most 256) rows. Returns nullptr or what was wrong. The driver's function
// comes through the runtime, so that the module loads where there is no driver.
inline const char* make_tensor_map(TensorMap* map, const void* data, int64_t columns, int64_t rows, int64_t stride,
                                   int box_rows) {
#ifdef __CUDACC__
  void* address = nullptr;
  cudaDriverEntryPointQueryResult found;
#if CUDART_VERSION >= 12050
  const cudaError_t error =
      cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &address, 12000, cudaEnableDefault, &found);
#else
  const cudaError_t error = cudaGetDriverEntryPoint("cuTensorMapEncodeTiled", &address, cudaEnableDefault, &found);
#endif
  if (error != cudaSuccess || found != cudaDriverEntryPointSuccess) return "this driver has no cuTensorMapEncodeTiled";
  const cuuint64_t dimensions[] = {cuuint64_t(columns), cuuint64_t(rows)}, strides[] = {cuuint64_t(stride) * 2};
  const cuuint32_t box[] = {box_columns, cuuint32_t(box_rows)}, steps[] = {1, 1};
  // bits are moved, whatever they mean: bf16 stands for both types
  const CUresult refused = reinterpret_cast<decltype(&cuTensorMapEncodeTiled)>(address)(
      map, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, 2, const_cast<void*>(data), dimensions, strides, box, steps,
      CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B, CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
      CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  return refused == CUDA_SUCCESS ? nullptr : "cuTensorMapEncodeTiled refuses the matrix";
#else
  if (!fits_tensor_map(data, columns, rows, stride) || box_rows < 1 || box_rows > 256)
    return "cuTensorMapEncodeTiled refuses the matrix";
  *map = {static_cast<const uint8_t*>(data), columns, rows, stride * 2, 2, box_rows};
  return nullptr;
#endif
}

}  // namespace laim::cuda
