// Attention backward: scores are recomputed from Q, K and the saved log-sum-exp, tile by tile.
//
//   P = exp(scale Q K^T - lse), dV = P^T dO, dP = dO V^T, dS = P (dP - rowsum(dO O)),
//   dQ = scale dS K, dK = dS^T (scale Q)                                    (Dao et al. 2022, algorithm 4)
//
// Tiles are [key][query] as in the forward; of dS, pairs along keys are needed for dQ and pairs along queries for dK,
// which are two copies of bf16 and one of wider numbers.
//
// A task is a piece of the keys of one key head with all query heads that share it: it owns their dK and dV. Few heads
// of many keys are cut into pieces, each with a dQ of its own, which are added in order; how many depends on the shapes
// alone, so that results do not depend on threads.
#pragma once

namespace laim::LAIM_ISA {

// One key head's operands and sums.
template <class T, class O>
struct KeyHead {
  O *key_panels, *value_panels;
  SummedKeys<O> keys;
  T *gradient_k_KD, *gradient_v_KD;
};

// One block of queries.
template <class T, class O>
struct QueryBlock {
  O *queries_DQ, *gradient_DQ, *queries_QD, *gradient_QD;
  QuerySums<T, O> gradient_q;
  T *lse, *delta;
};

// P and dS of one block of queries and one of keys. Numbers: p and ds, and ds again. Pairs: p and ds of neighbouring
// queries, as the products that sum over queries read them, ds_over_keys of neighbouring keys.
template <class O>
struct Weights {
  static constexpr int64_t row = attention_block / span<O>;  // operands from a key to the next in p and ds
  O *p, *ds, *ds_over_keys;
};

template <class S>
LAIM_INLINE void load_query_block(const AttentionBackwardArgs<S>& args, int64_t b, int64_t h, int64_t query0,
                                  int64_t count, int64_t padded, const QueryBlock<Compute<S>, Operand<S>>& block) {
  using T = Compute<S>;
  using V = Vec<T>;
  const auto& forward = args.forward;
  const int64_t channels = forward.channels;
  const auto from = [&](Matrix<const S> m) { return Matrix<const S>{m.at(query0, 0), m.row_stride, m.column_stride}; };
  const Matrix<const S> q = from(forward.q.matrix(b, h)), gradient = from(args.gradient.matrix(b, h));
  pack_panel(block.queries_DQ, attention_block, q, count, channels);
  pack_panel(block.gradient_DQ, attention_block, gradient, count, channels);
  pack_rows(block.queries_QD, padded, q, count, channels);
  pack_rows(block.gradient_QD, padded, gradient, count, channels);
  scale_numbers(block.queries_DQ, attention_block * operands_of<Operand<S>>(channels), T(forward.scale));
  scale_numbers(block.queries_QD, count * padded, T(forward.scale));
  block.gradient_q.clear();
  for (int64_t i = 0; i < attention_block; ++i) block.lse[i] = block.delta[i] = T(0);
  const S* out = forward.out.matrix(b, h).at(query0, 0);
  for (int64_t i = 0; i < count; ++i) {
    const T lse = forward.lse[(b * forward.query_heads + h) * forward.queries + query0 + i];
    block.lse[i] = lse == T(-__builtin_inf()) ? T(0) : lse;  // sees no key: masked everywhere below
    const S* out_row = out + i * forward.out.row;
    if (gradient.column_stride == 1) {
      V dot = V::zero();
      each_vector<V>(channels, [&](int64_t d, int64_t n) {
        dot = V::fma(load<V>(out_row + d, n), load<V>(gradient.at(i, d), n), dot);
      });
      block.delta[i] = dot.sum();
    } else {
      for (int64_t d = 0; d < channels; ++d) block.delta[i] += element<T>(out_row + d) * element<T>(gradient.at(i, d));
    }
  }
}

// scores -> P and dP -> dS for one group of queries. Keys come in whole micro-tiles, so a pair of them is never cut.
template <class T, class O>
LAIM_INLINE void probabilities(const BlockMask<T>& mask, int64_t g, T scale, const QueryBlock<T, O>& block,
                               ScoreTile<T> score, ScoreTile<T> gradient, const Weights<O>& out) {
  using V = Vec<T>;
  for (int64_t lane = 0; lane < tile_queries<T>; lane += V::width) {
    const int64_t q = g * tile_queries<T> + lane;
    const V lse = V::load(block.lse + q), delta = V::load(block.delta + q);
    const auto at_key = [&](int64_t key, V& p, V& ds) {
      p = exp(V::load(score.at(key, lane)) * V::all(scale) - lse);
      ds = p * (V::load(gradient.at(key, lane)) - delta);
      if (!mask.full) {
        const auto seen = mask.sees(q, key);
        p = V::select(seen, p, V::zero());
        ds = V::select(seen, ds, V::zero());
      }
    };
    for (int64_t key = mask.group[g].begin; key < mask.group[g].end; key += span<O>) {
      V p, ds;
      at_key(key, p, ds);
      if constexpr (span<O> == 1) {
        p.store(out.p + key * out.row + q);
        ds.store(out.ds + key * out.row + q);
      } else {
        V next_p, next_ds;
        at_key(key + 1, next_p, next_ds);
        const int64_t at = key * out.row + q / 2;
        Vec<O>::store_neighbours(p, out.p + at);
        Vec<O>::store_neighbours(next_p, out.p + at + out.row);
        Vec<O>::store_neighbours(ds, out.ds + at);
        Vec<O>::store_neighbours(next_ds, out.ds + at + out.row);
        Vec<O>::interleave(ds, next_ds).store(out.ds_over_keys + key / 2 * attention_block + q);
      }
    }
  }
}

template <class T, class O>
LAIM_INLINE void backward_tile(const BlockMask<T>& mask, int64_t key0, int64_t channels, int64_t padded, T scale,
                               const KeyHead<T, O>& head, const QueryBlock<T, O>& block, const Weights<O>& weights,
                               T* own_tiles) {
  const int64_t panel0 = key0 * operands_of<O>(channels);
  for (int64_t g = 0; g * tile_queries<T> < mask.padded; ++g) {
    const auto score = score_tile(g, weights.p, own_tiles);
    const auto gradient = score_tile(g, weights.ds, own_tiles + score_tile_size<T, O>);
    scores(mask, g, head.key_panels + panel0, block.queries_DQ, channels, T(1), score);
    scores(mask, g, head.value_panels + panel0, block.gradient_DQ, channels, T(1), gradient);
    probabilities(mask, g, scale, block, score, gradient, weights);
    if (!mask.full) {
      const int64_t column = g * tile_queries<T> / span<O>, width = tile_queries<T> / span<O>;
      clear_outside(weights.p + column, weights.row, width, mask.group[g], mask.keys);
      clear_outside(weights.ds + column, weights.row, width, mask.group[g], mask.keys);
      if constexpr (span<O> > 1) clear_unseen(mask, g, weights.ds_over_keys);
    }
  }
  // Which queries see any of the keys of one micro-tile: whole groups.
  const auto queries_seeing = [&](int64_t key) {
    int64_t begin = mask.queries, end = 0;
    for (int64_t g = 0; g * tile_queries<T> < mask.padded; ++g) {
      if (mask.group[g].begin < min(key + Tile::rows, mask.keys) && key < mask.group[g].end) {
        begin = min(begin, g * tile_queries<T>);
        end = min(mask.queries, (g + 1) * tile_queries<T>);
      }
    }
    return Interval{begin, end};
  };
  constexpr int64_t row = Weights<O>::row;
  multiply_block<T, row>(mask.keys, padded, weights.p, Tile::rows * row, 1, block.gradient_QD, padded,
                         head.gradient_v_KD + key0 * padded, padded, queries_seeing);
  multiply_block<T, row>(mask.keys, padded, weights.ds, Tile::rows * row, 1, block.queries_QD, padded,
                         head.gradient_k_KD + key0 * padded, padded, queries_seeing);
  block.gradient_q.add(mask, weights.ds_over_keys, head.keys, key0);
}

template <class S>
LAIM_INLINE void store_rows(Matrix<S> dst, const Compute<S>* src, int64_t padded, int64_t count, int64_t channels,
                            Compute<S> scale) {
  using V = Vec<Compute<S>>;
  for (int64_t i = 0; i < count; ++i)
    each_vector<V>(channels, [&](int64_t d, int64_t n) {
      store(load<V>(src + i * padded + d, n) * V::all(scale), dst.at(i, d), n);
    });
}

// How keys are cut: pieces of `size` keys, whole blocks.
struct Pieces {
  int64_t count, size, keys;
  LAIM_INLINE Interval piece(int64_t i) const { return {i * size, min(keys, (i + 1) * size)}; }
};

// As many pieces as give `wanted` tasks, of at least `least` keys, and no more dQ than `most` bytes hold. Pieces half
// as long cost 5 % more time on two cores, which is less than what these lose with three heads or fewer to share.
template <class S>
LAIM_INLINE Pieces pieces_of(const AttentionArgs<S>& args) {
  constexpr int64_t wanted = 32, most = int64_t(64) << 20;
  const int64_t heads = max<int64_t>(1, args.batch * args.key_heads);
  const int64_t least = (heads < 4 ? 4 : 8) * attention_block;
  const int64_t bytes = args.batch * args.query_heads * args.queries * args.channels * int64_t(sizeof(Compute<S>));
  const int64_t fitting = min(args.keys / least, most / max<int64_t>(1, bytes));
  const int64_t count = clamp(ceil_div(wanted, heads), 1, max<int64_t>(1, fitting));
  const int64_t size = round_up(ceil_div(args.keys, count), attention_block);
  return {max<int64_t>(1, ceil_div(args.keys, max<int64_t>(1, size))), size, args.keys};
}

LAIM_INLINE Interval overlap(Interval a, Interval b) { return {max(a.begin, b.begin), min(a.end, b.end)}; }

// own_dQ: (query_heads, queries, padded channels) where this piece's part of dQ goes; null where it is all of dQ.
template <class S>
void attention_backward_piece(const AttentionBackwardArgs<S>& args, int64_t b, int64_t key_head, Interval keys,
                              Compute<S>* own_dQ) {
  using T = Compute<S>;
  using O = Operand<S>;
  const auto& forward = args.forward;
  const int64_t channels = forward.channels, padded = round_up(channels, Vec<T>::width);
  const int64_t steps = operands_of<O>(channels);
  const int64_t key_count = keys.end - keys.begin, padded_keys = round_up(key_count, Tile::rows);
  const int64_t group = forward.query_heads / forward.key_heads;
  constexpr int64_t square = attention_block * attention_block / span<O>;

  const int64_t block_elements = attention_block * (2 * steps + 3 * padded + 2) + 3 * square +
                                 2 * score_tile_size<T, O> + QuerySums<T, O>::columns_size(padded);
  const int64_t key_elements = padded_keys * (2 * steps + 2 * padded) + SummedKeys<O>::size(padded_keys, padded);
  constexpr int64_t rounding = 16 * Vec<T>::width;  // of sixteen parts at most
  Parts<T, O> parts = {scratch_of<T>(Slot::attention_worker, key_elements + block_elements + rounding)};
  Weights<O> weights = {parts.operands(square), parts.operands(square), nullptr};
  weights.ds_over_keys = span<O> == 1 ? weights.ds : parts.operands(square);
  T* own_tiles = parts.numbers(2 * score_tile_size<T, O>);
  const QueryBlock<T, O> block = {
      parts.operands(attention_block * steps),
      parts.operands(attention_block * steps),
      parts.operands(attention_block / span<O> * padded),
      parts.operands(attention_block / span<O> * padded),
      {parts.numbers(attention_block * padded), parts.numbers(QuerySums<T, O>::columns_size(padded)), padded},
      parts.numbers(attention_block),
      parts.numbers(attention_block)};
  const KeyHead<T, O> head = {parts.operands(padded_keys * steps),
                              parts.operands(padded_keys * steps),
                              {parts.operands(SummedKeys<O>::size(padded_keys, padded)), padded_keys, padded},
                              parts.numbers(padded_keys * padded),
                              parts.numbers(padded_keys * padded)};

  const auto rows_of_piece = [&](auto m) { return decltype(m){m.at(keys.begin, 0), m.row_stride, m.column_stride}; };
  const Matrix<const S> k = rows_of_piece(forward.k.matrix(b, key_head)),
                        v = rows_of_piece(forward.v.matrix(b, key_head));
  pack_left(head.key_panels, k, key_count, channels);
  pack_left(head.value_panels, v, key_count, channels);
  head.keys.pack(k, key_count, channels);
  for (int64_t i = 0; i < padded_keys * padded; ++i) head.gradient_k_KD[i] = head.gradient_v_KD[i] = T(0);

  const Mask mask = forward.mask(b);
  const T late = late_scale<T, O>(T(forward.scale));
  [[maybe_unused]] const TileRegisters registers;
  BlockMask<T> seen_block;
  for (int64_t h = key_head * group; h < (key_head + 1) * group; ++h) {
    for (int64_t query0 = 0; query0 < forward.queries; query0 += attention_block) {
      const int64_t count = min(attention_block, forward.queries - query0);
      const Interval seen = overlap(mask.visible_to_any(query0, query0 + count - 1), keys);
      if (own_dQ && seen.end <= seen.begin) continue;
      load_query_block(args, b, h, query0, count, padded, block);
      // Whole micro-tiles of keys: the products for dK and dV write all their rows, so unseen ones must be masked, not
      // left.
      const int64_t key_end = round_up(seen.end, Tile::rows);
      for (int64_t key0 = seen.begin / attention_block * attention_block; key0 < seen.end; key0 += attention_block) {
        seen_block.set(mask, query0, count, key0, min(attention_block, key_end - key0));
        backward_tile(seen_block, key0 - keys.begin, channels, padded, late, head, block, weights, own_tiles);
      }
      const T* gradient_q_QD = block.gradient_q.finished(count);
      if (own_dQ) {
        T* to = own_dQ + (h * forward.queries + query0) * padded;
        for (int64_t i = 0; i < count * padded; ++i) to[i] = gradient_q_QD[i];
      } else {
        const Matrix<S> gradient_q = args.gradient_q.matrix(b, h);
        store_rows<S>({gradient_q.at(query0, 0), gradient_q.row_stride, 1}, gradient_q_QD, padded, count, channels,
                      T(forward.scale));
      }
    }
  }
  store_rows<S>(rows_of_piece(args.gradient_k.matrix(b, key_head)), head.gradient_k_KD, padded, key_count, channels,
                late);
  store_rows<S>(rows_of_piece(args.gradient_v.matrix(b, key_head)), head.gradient_v_KD, padded, key_count, channels,
                T(1));
}

// One block of queries of one head: dQ is the sum of what the pieces made that it sees any key of.
template <class S>
void sum_pieces(const AttentionBackwardArgs<S>& args, const Pieces& pieces, int64_t b, int64_t h, int64_t query0,
                const Compute<S>* parts_dQ) {
  using T = Compute<S>;
  using V = Vec<T>;
  const auto& forward = args.forward;
  const int64_t channels = forward.channels, padded = round_up(channels, V::width);
  const int64_t count = min(attention_block, forward.queries - query0);
  const int64_t head_size = forward.queries * padded, part_size = forward.batch * forward.query_heads * head_size;
  const Interval seen = forward.mask(b).visible_to_any(query0, query0 + count - 1);
  const Interval own = {seen.begin / pieces.size, seen.begin < seen.end ? ceil_div(seen.end, pieces.size) : 0};
  const Matrix<S> out = args.gradient_q.matrix(b, h);
  for (int64_t i = 0; i < count; ++i)
    each_vector<V>(channels, [&](int64_t d, int64_t n) {
      const T* from = parts_dQ + (b * forward.query_heads + h) * head_size + (query0 + i) * padded + d;
      V sum = V::zero();
      for (int64_t piece = own.begin; piece < own.end; ++piece) sum = sum + load<V>(from + piece * part_size, n);
      store(sum * V::all(T(forward.scale)), out.at(query0 + i, d), n);
    });
}

template <class S>
void attention_backward(const AttentionBackwardArgs<S>& args, const Parallel& parallel) {
  using T = Compute<S>;
  const auto& forward = args.forward;
  const Pieces pieces = pieces_of(forward);
  const int64_t padded = round_up(forward.channels, Vec<T>::width);
  const int64_t item_size = forward.query_heads * forward.queries * padded, part_size = forward.batch * item_size;
  T* const parts_dQ = pieces.count > 1 ? scratch_of<T>(Slot::attention_packed, pieces.count * part_size) : nullptr;
  parallel.for_each(forward.batch * forward.key_heads * pieces.count, [&](int64_t task) {
    const int64_t piece = task % pieces.count, head = task / pieces.count;
    const int64_t b = head / forward.key_heads;
    attention_backward_piece(args, b, head % forward.key_heads, pieces.piece(piece),
                             parts_dQ ? parts_dQ + piece * part_size + b * item_size : nullptr);
  });
  if (parts_dQ == nullptr) return;
  const int64_t blocks = ceil_div(forward.queries, attention_block);
  parallel.for_each(forward.batch * forward.query_heads * blocks, [&](int64_t task) {
    const int64_t head = task / blocks;
    sum_pieces(args, pieces, head / forward.query_heads, head % forward.query_heads, task % blocks * attention_block,
               parts_dQ);
  });
}

}  // namespace laim::LAIM_ISA
