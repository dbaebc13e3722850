// What the products share, whatever makes the sums: which tile of C a block makes, and the epilogue that follows.
#pragma once
#include "core/kernels.h"
#include "cuda/activation.cuh"
#include "cuda/launch.h"
#include "cuda/ptx.cuh"

namespace laim::cuda {

// How many tiles C has.
template <class Shape>
LAIM_INLINE int tile_count(int64_t m, int64_t n) {
  return int(ceil_div(m, Shape::rows) * ceil_div(n, Shape::columns));
}

// A block for each.
template <class Shape, class S>
Launch gemm_launch(const GemmArgs<S>& args) {
  return {uint32_t(tile_count<Shape>(args.m, args.n)), 1, 1, Shape::threads, Shape::shared_bytes};
}

// Whether the epilogue may move two neighbouring columns at once.
template <class S>
bool by_pairs(const GemmArgs<S>& args) {
  const auto fits = [](const S* data, int64_t stride) {
    return reinterpret_cast<uintptr_t>(data) % sizeof(Packed<S>) == 0 && (data == nullptr || stride % 2 == 0);
  };
  bool pairs = fits(args.up.data, args.up.row_stride);
  const Matrix<S> written[] = {args.out, args.pre, args.activated, args.gradient_up};
  for (const Matrix<S>& each : written) pairs = pairs && fits(each.data, each.row_stride);
  return pairs;
}

// Where a tile of C begins. Numbers walk down `group` rows of tiles before they go to the next column of tiles. Tiles
// at work at the same time are neighbours in number, so a rectangle `group` high: together they need far less of A and
// B than as many tiles of one row or column would, and what one of them has loaded the others find in the L2 cache.
struct TileOrigin {
  int64_t row, column;
};
template <class Shape>
LAIM_DEVICE TileOrigin tile_origin(int64_t m, int64_t n, int tile) {
  constexpr int group = 8;
  const int tile_rows = int(ceil_div(m, Shape::rows)), tile_columns = int(ceil_div(n, Shape::columns));
  const int first_row = tile / (group * tile_columns) * group;
  const int rows = min(group, tile_rows - first_row), within = tile % (group * tile_columns);
  return {int64_t(first_row + within % rows) * Shape::rows, int64_t(within / rows) * Shape::columns};
}

// What the epilogue reads and writes in pairs of neighbouring columns; alone where the second is out or pairs are
// unaligned.
struct ColumnPair {
  int64_t row, column;
  bool second, together;
};

template <class S>
LAIM_DEVICE Pair read_pair(const Matrix<const S>& from, const ColumnPair& at) {
  const S* p = from.data + at.row * from.row_stride + at.column;
  if (at.together) return unpack<S>(load_global(reinterpret_cast<const Packed<S>*>(p)));
  return {to_float(load_global(p)), at.second ? to_float(load_global(p + 1)) : 0.0f};
}

template <class S>
LAIM_DEVICE void write_pair(const Matrix<S>& to, const ColumnPair& at, Pair value) {
  S* p = to.data + at.row * to.row_stride + at.column;
  if (at.together) return store_global(reinterpret_cast<Packed<S>*>(p), pack<S>(value.first, value.second));
  store_global(p, to_storage<S>(value.first));
  if (at.second) store_global(p + 1, to_storage<S>(value.second));
}

LAIM_DEVICE Pair operator*(Pair a, Pair b) { return {a.first * b.first, a.second * b.second}; }
LAIM_DEVICE Pair operator+(Pair a, Pair b) { return {a.first + b.first, a.second + b.second}; }

template <class S>
LAIM_DEVICE Matrix<const S> read_only(const Matrix<S>& matrix) {
  return {matrix.data, matrix.row_stride, matrix.column_stride};
}

template <class S>
LAIM_DEVICE void gemm_epilogue(const GemmArgs<S>& args, const Matrix<float>& total, const ColumnPair& at, Pair value) {
  if (args.epilogue == Epilogue::accumulate) {
    float* sum = total.data + at.row * total.row_stride + at.column;
    store_global(sum, load_global(sum) + value.first);
    if (at.second) store_global(sum + 1, load_global(sum + 1) + value.second);
    return;
  }
  if (args.epilogue == Epilogue::gradient) {
    const Pair pre = read_pair(read_only(args.pre), at), up = args.up.data ? read_pair(args.up, at) : Pair{1, 1};
    const ActivationGradient first = activation_gradient(args.activation, value.first, pre.first, up.first);
    const ActivationGradient second = activation_gradient(args.activation, value.second, pre.second, up.second);
    if (args.up.data) write_pair(args.gradient_up, at, {first.up, second.up});
    write_pair(args.out, at, {first.pre, second.pre});
    return write_pair(args.activated, at, {first.activated, second.activated});
  }
  if (args.epilogue != Epilogue::store && args.bias) {
    const Pair bias = {to_float(load_global(args.bias + at.column)),
                       at.second ? to_float(load_global(args.bias + at.column + 1)) : 0.0f};
    value = value + bias;
  }
  if (args.epilogue == Epilogue::bias_activation) {
    if (args.pre.data) write_pair(args.pre, at, value);
    value = {activate(args.activation, value.first).value, activate(args.activation, value.second).value};
    if (args.up.data) value = value * read_pair(args.up, at);
  }
  write_pair(args.out, at, value);
}

// The epilogue of a tile, or of a part of one, whose sums lie in shared memory: in_tile(row, column), two neighbouring
// columns side by side. By Shape::threads threads, neighbours of which write neighbouring columns.
template <class Shape, class S, class InTile>
LAIM_DEVICE void finish_tile(const GemmArgs<S>& args, const Matrix<float>& total, const TileOrigin& origin, bool pairs,
                             const InTile& in_tile) {
  const int rows = int(min<int64_t>(Shape::rows, args.m - origin.row));
  LAIM_ROLLED
  for (int i = thread_index() % Shape::threads; i < rows * (Shape::columns / 2); i += Shape::threads) {
    const int row = i / (Shape::columns / 2), column = i % (Shape::columns / 2) * 2;
    if (origin.column + column >= args.n) continue;
    const bool second = origin.column + column + 1 < args.n;
    gemm_epilogue(args, total, {origin.row + row, origin.column + column, second, second && pairs},
                  load_shared(reinterpret_cast<const Pair*>(in_tile(row, column))));
  }
}

}  // namespace laim::cuda
