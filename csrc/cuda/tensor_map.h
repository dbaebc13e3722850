// What TMA needs to know about a matrix in global memory, or the matrices of a tensor of four dimensions: made on the
// host, handed to the kernel as an argument.
#pragma once
#include <stdint.h>

#include "core/kernels.h"

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
constexpr int64_t most_coordinates = int64_t(1) << 31;

// Whether TMA takes a matrix of 16-bit elements, `stride` of them from row to row.
inline bool fits_tensor_map(const void* data, int64_t columns, int64_t rows, int64_t stride) {
  return reinterpret_cast<uintptr_t>(data) % 16 == 0 && stride % 8 == 0 && columns > 0 && rows > 0 &&
         columns <= stride && stride < most_coordinates && rows < most_coordinates;
}

// Whether it takes the (batch, heads, rows, columns) tensor. A dimension of one has no stride that matters. In memory
// heads may lie closer than rows: the driver's manual shows strides that grow from dimension to dimension, but does not
// demand it, and FlashAttention-3 relies on that too.
template <class S>
bool fits_tensor_map(const View4<const S>& view, int64_t batch, int64_t heads, int64_t rows, int64_t columns) {
  const auto takes = [](int64_t size, int64_t stride) {
    return size > 0 && size < most_coordinates &&
           (size == 1 || (stride > 0 && stride < most_coordinates && stride % 8 == 0));
  };
  return sizeof(S) == 2 && view.channel == 1 && reinterpret_cast<uintptr_t>(view.data) % 16 == 0 &&
         takes(columns, box_columns) && takes(rows, view.row) && takes(heads, view.head) && takes(batch, view.batch);
}

#ifdef __CUDACC__
// The driver's function, or null where it has none. It comes through the runtime, so that the module loads where there
// is no driver; asked for once, not at every launch.
inline decltype(&cuTensorMapEncodeTiled) driver_encode() {
  static void* const found = [] {
    void* address = nullptr;
    cudaDriverEntryPointQueryResult result;
#if CUDART_VERSION >= 12050
    const cudaError_t error =
        cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &address, 12000, cudaEnableDefault, &result);
#else
    const cudaError_t error = cudaGetDriverEntryPoint("cuTensorMapEncodeTiled", &address, cudaEnableDefault, &result);
#endif
    return error == cudaSuccess && result == cudaDriverEntryPointSuccess ? address : nullptr;
  }();
  return reinterpret_cast<decltype(&cuTensorMapEncodeTiled)>(found);
}
#endif

// Boxes of box_rows (at most 256) rows of one matrix. Returns nullptr or what was wrong.
template <int dimensions>
const char* encode_tensor_map(TensorMap* map, const void* data, const int64_t (&size)[dimensions],
                              const int64_t (&stride)[dimensions], int box_rows) {
  constexpr int bytes = 2;
#ifdef __CUDACC__
  const auto encode = driver_encode();
  if (encode == nullptr) return "this driver has no cuTensorMapEncodeTiled";
  cuuint64_t sizes[dimensions], strides[dimensions];  // of the columns no stride is wanted
  cuuint32_t box[dimensions], steps[dimensions];
  for (int i = 0; i < dimensions; ++i) {
    sizes[i] = cuuint64_t(size[i]), strides[i] = cuuint64_t(stride[i]) * bytes;
    box[i] = i == 0 ? box_columns : i == 1 ? cuuint32_t(box_rows) : 1, steps[i] = 1;
  }
  // bits are moved, whatever they mean: bf16 stands for both types
  const CUresult refused = encode(map, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, dimensions, const_cast<void*>(data), sizes,
                                  strides + 1, box, steps, CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
                                  CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  return refused == CUDA_SUCCESS ? nullptr : "cuTensorMapEncodeTiled refuses the matrix";
#else
  if (box_rows < 1 || box_rows > 256) return "cuTensorMapEncodeTiled refuses the box";
  *map = {static_cast<const uint8_t*>(data), dimensions, {1, 1, 1, 1}, {}, box_rows};
  for (int i = 0; i < dimensions; ++i) map->size[i] = size[i], map->bytes[i] = stride[i] * bytes;
  return nullptr;
#endif
}

// A matrix that fits; errors as above.
inline const char* make_tensor_map(TensorMap* map, const void* data, int64_t columns, int64_t rows, int64_t stride,
                                   int box_rows) {
  if (!fits_tensor_map(data, columns, rows, stride)) return "TMA cannot take the matrix";
  return encode_tensor_map<2>(map, data, {columns, rows}, {1, stride}, box_rows);
}

// A tensor that fits.
template <class S>
const char* make_tensor_map(TensorMap* map, const View4<const S>& view, int64_t batch, int64_t heads, int64_t rows,
                            int64_t columns, int box_rows) {
  if (!fits_tensor_map(view, batch, heads, rows, columns)) return "TMA cannot take the tensor";
  const auto stride = [](int64_t size, int64_t own) { return size == 1 ? box_columns : own; };
  return encode_tensor_map<4>(map, view.data, {columns, rows, heads, batch},
                              {1, stride(rows, view.row), stride(heads, view.head), stride(batch, view.batch)},
                              box_rows);
}

}  // namespace laim::cuda
