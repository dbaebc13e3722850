// C = A B with the element-wise work that follows it done while the tile is still in registers.
//
// A task owns a block of C. It walks k in steps of `depth`; for each it packs its part of B once
// (depth x columns, stays in L2), then block by block of A (depth x block_rows), and runs the micro-kernel over them.
// Between steps a block of bf16 keeps its sums in float, beside; wider ones keep them in C itself.
// The order of the sum over k is the same for every element whatever the tasks, so results do not depend on threads.
#pragma once

namespace laim::LAIM_ISA {

struct GemmBlocks {
  static constexpr int64_t depth = 256;       // operands along k whose panels stay in cache
  static constexpr int64_t chain = 128;       // numbers along k added in one chain; depth is at most twice as much
  static constexpr int64_t block_rows = 144;  // rows of A packed at a time: a multiple of every Tile::rows (4, 6, 12)
  static constexpr int64_t columns = 768;     // columns of B packed at a time
  static constexpr int64_t dot_depth = 1024;  // numbers along k of a dot product at a time: stay in L1
};

// Finish one row of a tile: v holds C[i, j .. j + n).
template <Epilogue epilogue, Activation activation, class S, class V>
LAIM_INLINE void finish(const GemmArgs<S>& args, int64_t i, int64_t j, int64_t n, V v) {
  S* out = args.out.at(i, 0) + j;
  [[maybe_unused]] const S* up = args.up.data ? args.up.at(i, 0) + j : nullptr;
  if constexpr (epilogue == Epilogue::store) {
    store(v, out, n);
  } else if constexpr (epilogue == Epilogue::bias) {
    store(v + load<V>(args.bias + j, n), out, n);
  } else if constexpr (epilogue == Epilogue::bias_activation) {
    if (args.bias) v = v + load<V>(args.bias + j, n);
    if (args.pre.data) store(v, args.pre.at(i, 0) + j, n);
    store_activated<activation, S>(v, up, out, n);
  } else if constexpr (epilogue == Epilogue::gradient) {
    S* gradient_up = up ? args.gradient_up.at(i, 0) + j : nullptr;
    store_activation_gradient<activation, S>(v, args.pre.at(i, 0) + j, up, out, args.activated.at(i, 0) + j,
                                             gradient_up, n);
  }
}

// Where the sums of a task's block are between the steps of k.
template <class T>
struct GemmSums {
  Matrix<T> block;  // element (i, j) of C at (i - row0, j - column0)
  int64_t row0, column0;
  bool first, last;  // step of k; with accumulate neither, for `block` counts as the sum so far and is the result
  LAIM_INLINE T* at(int64_t i, int64_t j) const { return block.at(i - row0, j - column0); }
};

// Add the sums so far to the tile's and keep them, or finish them after the last step.
template <Epilogue epilogue, Activation activation, class S>
LAIM_INLINE void finish_tile(const GemmArgs<S>& args, const GemmSums<Compute<S>>& so_far, int64_t i0, int64_t j0,
                             Sums<Compute<S>, Tile::rows, Tile::vectors>& tile) {
  using V = Vec<Compute<S>>;
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
      if (!so_far.first) value = value + load<V>(so_far.at(i0 + i, j), n);
      if (so_far.last)
        finish<epilogue, activation>(args, i0 + i, j, n, value);
      else
        store(value, so_far.at(i0 + i, j), n);
    }
  }
}

// tile += A B, panels of `operands` steps of k. Where few rows are left, a part of the tile does.
template <class T, class O>
LAIM_INLINE void multiply_panels(Sums<T, Tile::rows, Tile::vectors>& tile, int64_t rows, int64_t chain,
                                 int64_t operands, const O* a, const O* b) {
  constexpr int columns = Tile::vectors * Vec<T>::width;
  constexpr int third = (Tile::rows + 2) / 3, most = 2 * third < Tile::rows ? 2 * third : Tile::rows;
  if (rows > most)
    tile.template multiply_chains<1>(chain, operands, a, Tile::rows, b, columns);
  else if (rows > third)
    tile.template multiply_chains<1, most>(chain, operands, a, Tile::rows, b, columns);
  else
    tile.template multiply_chains<1, third>(chain, operands, a, Tile::rows, b, columns);
}

template <Epilogue epilogue, Activation activation, class S>
void gemm_block(const GemmArgs<S>& args, const Matrix<Compute<S>>& total, int64_t i_begin, int64_t i_end,
                int64_t j_begin, int64_t j_end) {
  using T = Compute<S>;
  using O = Operand<S>;
  constexpr int tile_columns = Tile::vectors * Vec<T>::width;
  constexpr int64_t step_depth = GemmBlocks::depth * span<O>;
  const int64_t width = round_up(j_end - j_begin, tile_columns);
  O* packed_a = scratch_of<O>(Slot::gemm_a, GemmBlocks::depth * GemmBlocks::block_rows);
  O* packed_b = scratch_of<O>(Slot::gemm_b, GemmBlocks::depth * width + 2 * tile_columns);
  // An empty sum still has an epilogue.
  const int64_t steps = max<int64_t>(1, ceil_div(args.k, step_depth));
  GemmSums<T> so_far = {total, 0, 0, false, false};
  if constexpr (epilogue != Epilogue::accumulate) {
    if constexpr (sizeof(S) == sizeof(T))
      so_far.block = args.out;
    else if (steps > 1)
      so_far = {{scratch_of<T>(Slot::gemm_sums, (i_end - i_begin) * width), width, 1}, i_begin, j_begin, false, false};
  }
  for (int64_t step = 0; step < steps; ++step) {
    const int64_t k0 = step * step_depth;
    const int64_t depth = max<int64_t>(0, min(step_depth, args.k - k0)), operands = ceil_div(depth, span<O>);
    // The error of a long chain of additions disappears beside the rounding of bf16.
    const int64_t chain = depth <= GemmBlocks::chain || span<O> > 1 ? operands : ceil_div(operands, 2);
    if (epilogue != Epilogue::accumulate) so_far.first = step == 0, so_far.last = step == steps - 1;
    const Matrix<const S> b = {args.b.at(k0, j_begin), args.b.column_stride, args.b.row_stride};
    pack_panels(packed_b, tile_columns, b, j_end - j_begin, depth);
    for (int64_t ib = i_begin; ib < i_end; ib += GemmBlocks::block_rows) {
      const int64_t block = min(GemmBlocks::block_rows, i_end - ib);
      const Matrix<const S> a = {args.a.at(ib, k0), args.a.row_stride, args.a.column_stride};
      pack_left(packed_a, a, block, depth);
      for (int64_t j = j_begin; j < j_end; j += tile_columns) {
        for (int64_t i = 0; i < block; i += Tile::rows) {
          const O* a = packed_a + i * operands;
          const O* b = packed_b + (j - j_begin) * operands;
          Sums<T, Tile::rows, Tile::vectors> tile;
          tile.clear();
          multiply_panels(tile, block - i, chain, operands, a, b);
          finish_tile<epilogue, activation>(args, so_far, ib + i, j, tile);
        }
      }
    }
  }
}

// The product of few rows: dot products along k, where both A and B lie.
template <int rows, Epilogue epilogue, Activation activation, class S>
void dot_columns(const GemmArgs<S>& args, int64_t j_begin, int64_t j_end) {
  using T = Compute<S>;
  using V = Vec<T>;
  constexpr int columns = 4;
  constexpr int64_t group = V::width < columns ? columns : V::width;
  T sums[Tile::dot_rows][group];
  for (int64_t j0 = j_begin; j0 < j_end; j0 += group) {
    const int64_t n = min(group, j_end - j0);
    for (int64_t k0 = 0; k0 == 0 || k0 < args.k; k0 += GemmBlocks::dot_depth) {
      for (int64_t i0 = 0; i0 < args.m; i0 += rows) {
        const S *a[rows], *b[columns];
        for (int i = 0; i < rows; ++i) a[i] = args.a.at(min(i0 + i, args.m - 1), k0);
        for (int64_t c0 = 0; c0 < n; c0 += columns) {
          for (int c = 0; c < columns; ++c) b[c] = args.b.at(k0, j0 + min(c0 + c, n - 1));
          T dots[rows * columns];
          dot_products(a, b, min(GemmBlocks::dot_depth, args.k - k0), dots);
          for (int64_t i = 0; i < min<int64_t>(rows, args.m - i0); ++i)
            for (int c = 0; c < columns; ++c) {
              T& sum = sums[i0 + i][c0 + c];
              sum = k0 == 0 ? dots[i * columns + c] : sum + dots[i * columns + c];
            }
        }
      }
    }
    for (int64_t i = 0; i < args.m; ++i)
      each_vector<V>(n, [&](int64_t j, int64_t lanes) {
        finish<epilogue, activation>(args, i, j0 + j, lanes, load<V>(sums[i] + j, lanes));
      });
  }
}

// Large tasks pack less, several a thread balance better; small products are one.
template <class S>
int64_t wanted_tasks(const GemmArgs<S>& args, const Parallel& parallel) {
  const bool small = double(args.m) * double(args.n) * double(args.k) < 1 << 18;
  return small || parallel.threads == 1 ? 1 : 2 * int64_t(parallel.threads);
}

// Where packing B would take longer than what dot products lose: more rows share what is packed, fewer steps of k what
// it takes to add up lanes. Measured with k from 64 to 3,072 and 1,024 columns.
template <class S>
bool dot_wins(const GemmArgs<S>& args) {
  constexpr int64_t numbers = span<Operand<S>>;
  return args.a.column_stride == 1 && args.b.row_stride == 1 && args.m * numbers * numbers <= Tile::dot_rows &&
         args.m * numbers * 16 <= args.k;
}

template <Epilogue epilogue, Activation activation, class S>
void dot_tasks(const GemmArgs<S>& args, const Parallel& parallel) {
  const int64_t columns = round_up(ceil_div(args.n, wanted_tasks(args, parallel)), 64);
  parallel.for_each(ceil_div(args.n, columns), [&](int64_t task) {
    const int64_t j = task * columns, end = min(args.n, j + columns);
    if (args.m == 1)
      dot_columns<1, epilogue, activation>(args, j, end);
    else
      dot_columns<4, epilogue, activation>(args, j, end);
  });
}

template <Epilogue epilogue, Activation activation, class S>
void gemm_tasks(const GemmArgs<S>& args, const Matrix<Compute<S>>& total, const Parallel& parallel) {
  if (args.m == 0 || args.n == 0) return;
  if constexpr (epilogue != Epilogue::accumulate) {
    if (dot_wins(args)) return dot_tasks<epilogue, activation>(args, parallel);
  }
  constexpr int64_t tile_columns = Tile::vectors * Vec<Compute<S>>::width;
  const int64_t wanted = wanted_tasks(args, parallel);
  // A task packs its rows of A and its columns of B: so many blocks across that all of them pack least.
  const int64_t fewest = ceil_div(args.n, GemmBlocks::columns);
  int64_t across = fewest;
  const auto packed = [&](int64_t blocks) { return ceil_div(wanted, blocks) * args.n + blocks * args.m; };
  for (int64_t blocks = fewest + 1; blocks <= wanted; ++blocks)
    if (packed(blocks) < packed(across)) across = blocks;
  // Blocks of equal width: a narrow last one would leave its thread without work.
  const int64_t columns = round_up(ceil_div(args.n, across), tile_columns);
  across = ceil_div(args.n, columns);
  const int64_t rows = round_up(ceil_div(args.m, ceil_div(wanted, across)), Tile::rows);
  const int64_t tasks_down = ceil_div(args.m, rows);
  parallel.for_each(tasks_down * across, [&](int64_t task) {
    const int64_t i = task % tasks_down * rows, j = task / tasks_down * columns;
    gemm_block<epilogue, activation>(args, total, i, min(args.m, i + rows), j, min(args.n, j + columns));
  });
}

template <class S>
void gemm(const GemmArgs<S>& args, const Matrix<Compute<S>>& total, const Parallel& parallel) {
  switch (args.epilogue) {
    case Epilogue::store: return gemm_tasks<Epilogue::store, Activation::relu>(args, total, parallel);
    case Epilogue::accumulate: return gemm_tasks<Epilogue::accumulate, Activation::relu>(args, total, parallel);
    case Epilogue::bias: return gemm_tasks<Epilogue::bias, Activation::relu>(args, total, parallel);
    case Epilogue::bias_activation:
      return with_activation(args.activation, [&](auto kind) {
        gemm_tasks<Epilogue::bias_activation, decltype(kind)::value>(args, total, parallel);
      });
    case Epilogue::gradient:
      return with_activation(args.activation, [&](auto kind) {
        gemm_tasks<Epilogue::gradient, decltype(kind)::value>(args, total, parallel);
      });
  }
}

}  // namespace laim::LAIM_ISA
