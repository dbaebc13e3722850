// C = A B with the element-wise work that follows it done while the tile is still in registers.
//
// A task owns a block of C. It walks k in steps of `depth`; for each it packs its part of B once
// (depth x columns, stays in L2), then block by block of A (depth x block_rows), and runs the micro-kernel over them.
// The order of the sum over k is the same for every element whatever the tasks, so results do not depend on threads.
#pragma once

namespace laim::LAIM_ISA {

struct GemmBlocks {
  static constexpr int64_t depth = 256;  // steps of k whose panels stay in cache
  static constexpr int64_t chain = 128;  // steps of k that may be added in one chain; depth is at most twice as much
  static constexpr int64_t block_rows = 144;  // rows of A packed at a time: a multiple of every Tile::rows (4, 6, 12)
  static constexpr int64_t columns = 768;     // columns of B packed at a time
};

// Finish one row of a tile: v holds C[i, j .. j + n).
template <Epilogue epilogue, Activation activation, class T>
LAIM_INLINE void finish(const GemmArgs<T>& args, int64_t i, int64_t j, int64_t n, Vec<T> v) {
  using V = Vec<T>;
  T* out = args.out.at(i, 0) + j;
  [[maybe_unused]] const T* up = args.up.data ? args.up.at(i, 0) + j : nullptr;
  if constexpr (epilogue == Epilogue::store) {
    v.store(out, n);
  } else if constexpr (epilogue == Epilogue::accumulate) {
    (v + V::load(out, n)).store(out, n);
  } else if constexpr (epilogue == Epilogue::bias) {
    (v + V::load(args.bias + j, n)).store(out, n);
  } else if constexpr (epilogue == Epilogue::bias_activation) {
    if (args.bias) v = v + V::load(args.bias + j, n);
    if (args.pre.data) v.store(args.pre.at(i, 0) + j, n);
    store_activated<activation, T>(v, up, out, n);
  } else {
    T* gradient_up = up ? args.gradient_up.at(i, 0) + j : nullptr;
    store_activation_gradient<activation, T>(v, args.pre.at(i, 0) + j, up, out, args.activated.at(i, 0) + j,
                                             gradient_up, n);
  }
}

// The tile's sums so far are in `out` unless this is the first step of k; finish them after the last.
template <Epilogue epilogue, Activation activation, class T>
LAIM_INLINE void finish_tile(const GemmArgs<T>& args, int64_t i0, int64_t j0, bool first, bool last,
                             Sums<T, Tile::rows, Tile::vectors>& tile) {
  using V = Vec<T>;
  const int64_t rows = min<int64_t>(Tile::rows, args.m - i0);
#pragma GCC unroll 16
  for (int i = 0; i < Tile::rows; ++i) {
    if (i >= rows) break;
#pragma GCC unroll 8
    for (int v = 0; v < Tile::vectors; ++v) {
      const int64_t j = j0 + v * V::width;
      const int64_t n = min<int64_t>(V::width, args.n - j);
      if (n <= 0) break;
      V value = tile.sum[i][v];
      if (!first) value = value + V::load(args.out.at(i0 + i, 0) + j, n);
      if (last)
        finish<epilogue, activation>(args, i0 + i, j, n, value);
      else
        value.store(args.out.at(i0 + i, 0) + j, n);
    }
  }
}

template <Epilogue epilogue, Activation activation, class T>
void gemm_block(const GemmArgs<T>& args, int64_t i_begin, int64_t i_end, int64_t j_begin, int64_t j_end) {
  constexpr int tile_columns = Tile::vectors * Vec<T>::width;
  T* packed_a = scratch_of<T>(Slot::gemm_a, GemmBlocks::depth * GemmBlocks::block_rows);
  T* packed_b =
      scratch_of<T>(Slot::gemm_b, GemmBlocks::depth * round_up(j_end - j_begin, tile_columns) + 2 * tile_columns);
  // An empty sum still has an epilogue; with accumulate, `out` counts as the sum so far.
  const int64_t steps = max<int64_t>(1, ceil_div(args.k, GemmBlocks::depth));
  for (int64_t step = 0; step < steps; ++step) {
    const int64_t k0 = step * GemmBlocks::depth;
    const int64_t depth = max<int64_t>(0, min(GemmBlocks::depth, args.k - k0));
    // One chain of additions after the other: the rounding error of a single long one would be larger.
    const int64_t chain = depth <= GemmBlocks::chain ? depth : ceil_div(depth, 2);
    const bool accumulating = epilogue == Epilogue::accumulate;
    const bool first = accumulating || step == 0, last = accumulating || step == steps - 1;
    for (int64_t j = j_begin; j < j_end; j += tile_columns) {
      const Matrix<const T> b = {args.b.data + k0 * args.b.row_stride + j * args.b.column_stride, args.b.column_stride,
                                 args.b.row_stride};
      pack_panel<T, T>(packed_b + (j - j_begin) * depth, tile_columns, b, min<int64_t>(tile_columns, j_end - j), depth,
                       T(1));
    }
    for (int64_t ib = i_begin; ib < i_end; ib += GemmBlocks::block_rows) {
      const int64_t block = min(GemmBlocks::block_rows, i_end - ib);
      for (int64_t i = 0; i < block; i += Tile::rows) {
        const Matrix<const T> a = {args.a.at(ib + i, k0), args.a.row_stride, args.a.column_stride};
        pack_panel<T, T>(packed_a + i * depth, Tile::rows, a, min<int64_t>(Tile::rows, block - i), depth, T(1));
      }
      for (int64_t j = j_begin; j < j_end; j += tile_columns) {
        for (int64_t i = 0; i < block; i += Tile::rows) {
          const T* a = packed_a + i * depth;
          const T* b = packed_b + (j - j_begin) * depth;
          Sums<T, Tile::rows, Tile::vectors> tile, rest;
          tile.clear();
          tile.template multiply<1>(chain, a, Tile::rows, b, tile_columns);
          if (chain < depth) {
            rest.clear();
            rest.template multiply<1>(depth - chain, a + chain * Tile::rows, Tile::rows, b + chain * tile_columns,
                                      tile_columns);
            tile.add(rest);
          }
          finish_tile<epilogue, activation>(args, ib + i, j, first, last, tile);
        }
      }
    }
  }
}

template <Epilogue epilogue, Activation activation, class T>
void gemm_tasks(const GemmArgs<T>& args, const Parallel& parallel) {
  if (args.m == 0 || args.n == 0) return;
  constexpr int64_t tile_columns = Tile::vectors * Vec<T>::width;
  // Large blocks pack less, several tasks a thread balance better; small products are one task.
  const bool small = double(args.m) * double(args.n) * double(args.k) < 1 << 18;
  const int64_t columns = round_up(min(args.n, GemmBlocks::columns), tile_columns);
  const int64_t across = ceil_div(args.n, columns);
  const int64_t down = small ? 1 : ceil_div(int64_t(parallel.threads) * (parallel.threads > 1 ? 2 : 1), across);
  const int64_t rows = round_up(ceil_div(args.m, down), Tile::rows);
  const int64_t tasks_down = ceil_div(args.m, rows);
  parallel.for_each(tasks_down * across, [&](int64_t task) {
    const int64_t i = task % tasks_down * rows, j = task / tasks_down * columns;
    gemm_block<epilogue, activation>(args, i, min(args.m, i + rows), j, min(args.n, j + columns));
  });
}

template <class T>
void gemm(const GemmArgs<T>& args, const Parallel& parallel) {
  switch (args.epilogue) {
    case Epilogue::store: return gemm_tasks<Epilogue::store, Activation::relu>(args, parallel);
    case Epilogue::accumulate: return gemm_tasks<Epilogue::accumulate, Activation::relu>(args, parallel);
    case Epilogue::bias: return gemm_tasks<Epilogue::bias, Activation::relu>(args, parallel);
    case Epilogue::bias_activation:
      return with_activation(args.activation, [&](auto kind) {
        gemm_tasks<Epilogue::bias_activation, decltype(kind)::value>(args, parallel);
      });
    case Epilogue::gradient:
      return with_activation(args.activation,
                             [&](auto kind) { gemm_tasks<Epilogue::gradient, decltype(kind)::value>(args, parallel); });
  }
}

}  // namespace laim::LAIM_ISA
