// Attention forward: softmax(scale Q K^T + mask) V block by block, the scores never leave the cache.
//
// Scores are held transposed, tile[key][query], with queries along the vector lanes: maximum, sum and rescaling of the
// online softmax are then plain lane-wise operations, and the same tile is already in the layout in which the
// micro-kernel reads its A operand for P V. K is packed into panels and V into padded rows once per key head.
//
// A task is one block of queries of one head; blocks are independent, so results do not depend on threads.
// Sources: Milakov & Gimelshein 2018 (online softmax), Dao 2023 (FlashAttention-2).
#pragma once

namespace laim::LAIM_ISA {

// One step of the online softmax for one vector of queries, the one at `lane` of group g: turns scores into weights
// exp(scale * (score - maximum)), updates maximum and sum, returns the factor by which everything so far shrinks.
template <class T, class O>
LAIM_INLINE Vec<T> softmax_step(const BlockMask<T>& mask, int64_t g, int64_t lane, T scale, ScoreTile<T> tile,
                                O* weights_KQ, T* maximum, T* sum) {
  using V = Vec<T>;
  const int64_t q = g * tile_queries<T> + lane;
  const Interval seen = mask.group[g];
  const V lowest = V::all(T(-__builtin_inf()));
  const V before = V::load(maximum + q);
  V top = before;
  if (mask.full) {
    for (int64_t key = seen.begin; key < seen.end; ++key) top = V::max(top, V::load(tile.at(key, lane)));
  } else {
    for (int64_t key = seen.begin; key < seen.end; ++key) {
      const V score = V::select(mask.sees(q, key), V::load(tile.at(key, lane)), lowest);
      score.store(tile.at(key, lane));
      top = V::max(top, score);
    }
  }
  // Where nothing has been seen yet the maximum is -inf; 0 stands in so that exp(-inf - 0) gives the zeros wanted.
  const V factor = V::all(scale), safe = V::select(V::less(lowest, top), top, V::zero()) * factor;
  const auto weight = [&](int64_t key) { return exp(V::load(tile.at(key, lane)) * factor - safe); };
  V part = V::zero();
  for (int64_t key = seen.begin; key < seen.end; key += span<O>) {
    O* at = weights_KQ + key / span<O> * attention_block + q;
    const V p = weight(key);
    if constexpr (span<O> == 1) {
      p.store(at);
      part = part + p;
    } else {
      const V next = key + 1 < seen.end ? weight(key + 1) : V::zero();
      Vec<O>::interleave(p, next).store(at);
      part = part + (p + next);
    }
  }
  const V shrink = exp(before * factor - safe);
  V::fma(V::load(sum + q), shrink, part).store(sum + q);
  top.store(maximum + q);
  return shrink;
}

// Packed K and V of all key heads, made once per call and shared by all tasks.
template <class O>
struct PackedKeys {
  int64_t steps, padded_keys, padded_channels;  // steps: operands for all channels
  O* data;

  LAIM_INLINE int64_t head_size() const {
    return padded_keys * steps + SummedKeys<O>::size(padded_keys, padded_channels);
  }
  LAIM_INLINE O* panels(int64_t head) const { return data + head * head_size(); }
  LAIM_INLINE SummedKeys<O> values(int64_t head) const {
    return {panels(head) + padded_keys * steps, padded_keys, padded_channels};
  }
};

template <class S>
void attention_query_block(const AttentionArgs<S>& args, const PackedKeys<Operand<S>>& packed, int64_t b, int64_t h,
                           int64_t query0) {
  using T = Compute<S>;
  using O = Operand<S>;
  using V = Vec<T>;
  const int64_t channels = args.channels, padded = packed.padded_channels, steps = packed.steps;
  const int64_t head = b * args.key_heads + h / (args.query_heads / args.key_heads);
  const int64_t count = min(attention_block, args.queries - query0);

  Parts<T, O> parts = {scratch_of<T>(Slot::attention_worker, attention_block * (steps + padded + attention_block + 3) +
                                                                 score_tile_size<T, O> +
                                                                 QuerySums<T, O>::columns_size(padded))};
  O* queries_DQ = parts.operands(attention_block * steps);
  O* weights_KQ = parts.operands(attention_block * attention_block / span<O>);
  T* own_tile = parts.numbers(score_tile_size<T, O>);
  const QuerySums<T, O> out = {parts.numbers(attention_block * padded),
                               parts.numbers(QuerySums<T, O>::columns_size(padded)), padded};
  T* maximum = parts.numbers(attention_block);
  T* sum = parts.numbers(attention_block);
  T* shrink = parts.numbers(attention_block);

  const Matrix<const S> q = args.q.matrix(b, h);
  pack_panel(queries_DQ, attention_block, Matrix<const S>{q.at(query0, 0), q.row_stride, q.column_stride}, count,
             channels);
  scale_numbers(queries_DQ, attention_block * steps, T(args.scale));
  out.clear();
  for (int64_t i = 0; i < attention_block; ++i) maximum[i] = T(-__builtin_inf()), sum[i] = T(0);

  [[maybe_unused]] const TileRegisters registers;
  const Mask mask = args.mask(b);
  const ScoreScale<T> scale(late_scale<T, O>(T(args.scale)));
  const Interval seen = mask.visible_to_any(query0, query0 + count - 1);
  BlockMask<T> block;
  for (int64_t key0 = seen.begin / attention_block * attention_block; key0 < seen.end; key0 += attention_block) {
    block.set(mask, query0, count, key0, min(attention_block, seen.end - key0));
    bool changed = false;
    for (int64_t g = 0; g * tile_queries<T> < block.padded; ++g) {
      const ScoreTile<T> tile = score_tile(g, weights_KQ, own_tile);
      scores(block, g, packed.panels(head) + key0 * steps, queries_DQ, channels, scale.sign, tile);
      for (int64_t lane = 0; lane < tile_queries<T>; lane += V::width) {
        const V factor = softmax_step(block, g, lane, scale.size, tile, weights_KQ, maximum, sum);
        factor.store(shrink + g * tile_queries<T> + lane);
        changed = changed || V::any(V::less(factor, V::all(T(1))));
      }
      clear_unseen(block, g, weights_KQ);
    }
    if (changed && key0 > seen.begin) out.scale(shrink, count);  // in the first block there is nothing to shrink yet
    out.add(block, weights_KQ, packed.values(head), key0);
  }

  const T* out_QD = out.finished(count);
  for (int64_t i = 0; i < count; ++i) {
    // A query that sees no key: sum 0, zeros out. A NaN sum is kept: it must reach the output.
    const V inverse = V::all(sum[i] == T(0) ? T(0) : T(1) / sum[i]);
    S* to = args.out.matrix(b, h).at(query0 + i, 0);
    each_vector<V>(channels,
                   [&](int64_t d, int64_t n) { store(V::load(out_QD + i * padded + d) * inverse, to + d, n); });
    args.lse[(b * args.query_heads + h) * args.queries + query0 + i] =
        sum[i] == T(0) ? T(-__builtin_inf()) : maximum[i] * scale.size + T(__builtin_log(sum[i]));
  }
}

template <class S>
void attention(const AttentionArgs<S>& args, const Parallel& parallel) {
  using O = Operand<S>;
  static_assert(Tile::rows % span<O> == 0, "a pair of keys never lies in two micro-tiles");
  if (args.batch == 0 || args.query_heads == 0 || args.queries == 0) return;
  PackedKeys<O> packed = {operands_of<O>(args.channels), round_up(args.keys, Tile::rows),
                          round_up(args.channels, Vec<O>::width), nullptr};
  packed.data = scratch_of<O>(Slot::attention_packed, args.batch * args.key_heads * packed.head_size() + 1);
  parallel.for_each(args.batch * args.key_heads, [&](int64_t head) {
    const int64_t b = head / args.key_heads, h = head % args.key_heads;
    pack_left(packed.panels(head), args.k.matrix(b, h), args.keys, args.channels);
    packed.values(head).pack(args.v.matrix(b, h), args.keys, args.channels);
  });
  const int64_t blocks = ceil_div(args.queries, attention_block);
  parallel.for_each(args.batch * args.query_heads * blocks, [&](int64_t task) {
    // Last blocks first: under a causal mask they take longest.
    const int64_t block = blocks - 1 - task % blocks, head = task / blocks;
    attention_query_block(args, packed, head / args.query_heads, head % args.query_heads, block * attention_block);
  });
}

}  // namespace laim::LAIM_ISA
