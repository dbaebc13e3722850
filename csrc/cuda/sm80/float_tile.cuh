// Tiles of fp32 in shared memory, for kernels that multiply without tensor cores: filled by cp.async number by number,
// so that any strides and any alignment will do, and read four neighbours at a time.
#pragma once
#include "cuda/ptx.cuh"

namespace laim::cuda {

struct alignas(16) Four {
  float value[4];
};

template <int rows_, int columns_>
struct FloatTile {
  // Four numbers more than a row has: at the same column, eight rows lie in eight different groups of four banks.
  static constexpr int rows = rows_, columns = columns_, pitch = columns + 4, size = rows * pitch;
  float* data;  // in shared memory, a multiple of 16 bytes

  LAIM_DEVICE float* at(int row, int column) const { return data + row * pitch + column; }
  LAIM_DEVICE Four four(int row, int column, Site site = Site()) const {
    return load_shared(reinterpret_cast<const Four*>(at(row, column)), site);
  }
};

// Fills a tile by all `threads` of the block from a matrix that has `rows` and `columns`, which may be more than the
// tile or less than nothing; the rest becomes zeros. Neighbouring threads take what are neighbours in memory. What it
// starts is there after cp_async_wait and a barrier.
template <int threads, class T>
LAIM_DEVICE void copy_float_tile(const T& tile, const Matrix<const float>& from, int64_t rows, int64_t columns) {
  static_assert(threads % T::rows == 0 && threads % T::columns == 0, "a thread stays in its row or column");
  const bool down = from.row_stride == 1;
  const int thread = thread_index();
  const int first_row = down ? thread % T::rows : thread / T::columns, row_step = down ? 0 : threads / T::columns;
  const int first_column = down ? thread / T::rows : thread % T::columns, column_step = down ? threads / T::rows : 0;
  // more at once, their addresses would take the registers that the sums of a product need
  LAIM_UNROLL_BY(2)
  for (int i = 0; i < T::rows * T::columns / threads; ++i) {
    const int row = first_row + i * row_step, column = first_column + i * column_step;
    const bool there = row < rows && column < columns;
    cp_async_4(tile.at(row, column), there ? from.at(row, column) : from.data, there);
  }
}

}  // namespace laim::cuda
