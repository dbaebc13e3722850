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

// Queries and keys per block: a multiple of every Tile::rows and every Tile::vectors * Vec::width.
constexpr int64_t attention_block = 96;

template <class T>
constexpr int64_t tile_queries = Tile::vectors * Vec<T>::width;  // queries per group of one micro-tile

// Rows of one head as the micro-kernel's B operand, summed over rows: (count / span, padded channels), zero beyond
// `channels`.
template <class O, class S>
LAIM_INLINE void pack_rows(O* dst, int64_t padded, Matrix<const S> src, int64_t count, int64_t channels) {
  const Matrix<const S> transposed = {src.data, src.column_stride, src.row_stride};
  for (int64_t i = 0; i < ceil_div(count, span<O>); ++i) {
    O* row = dst + i * padded;
    if (src.column_stride == 1) {
      each_vector<Vec<O>>(channels,
                          [&](int64_t d, int64_t n) { store(side_by_side<O>(src, i, d, count, n), row + d, n); });
    } else {
      for (int64_t d = 0; d < channels; ++d) row[d] = operand<O>(transposed, d, i, count);
    }
    for (int64_t d = channels; d < padded; ++d) row[d] = O{};
  }
}

// Rows of one head as panels of the A operand: panel p holds rows p * width ... as [channel][row], zero beyond `count`.
template <class O, class S>
LAIM_INLINE void pack_panels(O* dst, int width, Matrix<const S> src, int64_t count, int64_t channels) {
  for (int64_t i = 0; i < count; i += width) {
    const Matrix<const S> rows = {src.at(i, 0), src.row_stride, src.column_stride};
    pack_panel(dst + i * ceil_div(channels, span<O>), width, rows, min<int64_t>(width, count - i), channels);
  }
}

// One block of queries against one block of keys: who sees whom.
template <class T>
struct BlockMask {
  int64_t queries;                                             // of the block, <= attention_block
  int64_t padded;                                              // queries rounded up to whole groups
  int64_t keys;                                                // of the block
  bool full;                                                   // every query sees every key
  alignas(64) T begin[attention_block], end[attention_block];  // per query, in keys of this block
  Interval group[attention_block / tile_queries<T>];           // per group of queries: union, whole micro-tile rows

  // Keys seen by at least one query in [first, last].
  LAIM_INLINE Interval any(int64_t first, int64_t last) const {
    return {int64_t(begin[first]), int64_t(end[min(last, queries - 1)])};
  }

  void set(const Mask& mask, int64_t query0, int64_t query_count, int64_t key0, int64_t key_count) {
    queries = query_count;
    padded = round_up(query_count, tile_queries<T>);
    keys = key_count;
    full = true;
    for (int64_t i = 0; i < padded; ++i) {
      Interval seen = mask.visible(query0 + min(i, queries - 1));  // spare lanes do as the last query does
      seen = {clamp(seen.begin - key0, 0, keys), clamp(seen.end - key0, 0, keys)};
      full = full && seen.begin == 0 && seen.end == keys;
      begin[i] = T(seen.begin);
      end[i] = T(seen.end);
    }
    for (int64_t g = 0; g * tile_queries<T> < padded; ++g) {
      const Interval seen = any(g * tile_queries<T>, (g + 1) * tile_queries<T> - 1);
      group[g] = {seen.begin / Tile::rows * Tile::rows, min(keys, round_up(seen.end, Tile::rows))};
      if (seen.end <= seen.begin) group[g] = {0, 0};
    }
  }

  // For lanes of queries from q on: is this key seen?
  LAIM_INLINE typename Vec<T>::Mask sees(int64_t q, int64_t key) const {
    using V = Vec<T>;
    const V k = V::all(T(key) + T(0.5));  // half a key off, so that one comparison serves both ends
    return V::both(V::less(V::load(begin + q), k), V::less(k, V::load(end + q)));
  }
};

// Where a group's scores are before they become weights. Numbers become weights in place. Pairs have a tile of their
// own, which stays in the first cache, for two keys or two queries share a word of the weights.
template <class T>
struct ScoreTile {
  T* data;  // [key][query]
  int64_t stride;
  LAIM_INLINE T* at(int64_t key, int64_t query_in_group) const { return data + key * stride + query_in_group; }
};
template <class T, class O>
LAIM_INLINE ScoreTile<T> score_tile(int64_t g, O* weights_KQ, T* own) {
  if constexpr (span<O> == 1)
    return {weights_KQ + g * tile_queries<T>, attention_block};
  else
    return {own, tile_queries<T>};
}
template <class T, class O>
constexpr int64_t score_tile_size = span<O> == 1 ? 0 : attention_block * tile_queries<T>;

// For one group of queries, tile[key][query] = sign * sum over channels of panel[channel][key] *
// queries[channel][query], where the mask leaves anything.
template <class T, class O>
LAIM_INLINE void scores(const BlockMask<T>& mask, int64_t g, const O* key_panels, const O* queries_DQ, int64_t channels,
                        T sign, ScoreTile<T> out) {
  const int64_t steps = ceil_div(channels, span<O>);
  // One chain of additions after the other: the rounding error of a single long one would be larger. It disappears
  // beside the rounding of bf16 operands.
  const int64_t chain = steps <= 64 || span<O> > 1 ? steps : ceil_div(steps, 2);
  const O* queries = queries_DQ + g * tile_queries<T>;
  for (int64_t key = mask.group[g].begin; key < mask.group[g].end; key += Tile::rows) {
    const O* keys = key_panels + key * steps;
    Sums<T, Tile::rows, Tile::vectors> tile;
    tile.clear();
    tile.template multiply<1>(chain, keys, Tile::rows, queries, attention_block);
    if (chain < steps) {
      Sums<T, Tile::rows, Tile::vectors> rest;
      rest.clear();
      rest.template multiply<1>(steps - chain, keys + chain * Tile::rows, Tile::rows, queries + chain * attention_block,
                                attention_block);
      tile.add(rest);
    }
    if (sign != T(1)) tile.scale(sign);
    tile.store(out.at(key, 0), out.stride);
  }
}

// Zero all rows of [0, count) but those in `kept`: what `scores` left out, so that products over whole blocks read
// zeros there.
template <class O>
LAIM_INLINE void clear_outside(O* at, int64_t stride, int64_t width, Interval kept, int64_t count) {
  for (int64_t row = 0; row < count; ++row) {
    if (row == kept.begin) row = kept.end;
    if (row >= count) break;
    for (int64_t i = 0; i < width; ++i) at[row * stride + i] = O{};
  }
}

// The same for a group of queries and weights summed over keys: [key / span][query].
template <class T, class O>
LAIM_INLINE void clear_unseen(const BlockMask<T>& mask, int64_t g, O* weights_KQ) {
  const Interval seen = {mask.group[g].begin / span<O>, ceil_div(mask.group[g].end, span<O>)};
  clear_outside(weights_KQ + g * tile_queries<T>, attention_block, tile_queries<T>, seen, ceil_div(mask.keys, span<O>));
}

// Scores are scaled through their queries where those are numbers. Pairs would be rounded to bf16 again: there the
// scores carry its sign, so that the largest score is the largest product too, and its size comes in on the way to exp.
template <class T, class O>
LAIM_INLINE void scale_numbers(O* packed, int64_t count, T scale) {
  if constexpr (span<O> == 1) {
    const Vec<T> factor = Vec<T>::all(scale);
    each_vector<Vec<T>>(count,
                        [&](int64_t i, int64_t n) { store(load<Vec<T>>(packed + i, n) * factor, packed + i, n); });
  }
}
template <class T, class O>
constexpr T late_scale(T scale) {
  return span<O> == 1 ? T(1) : scale;
}
template <class T>
struct ScoreScale {
  T sign, size;
  explicit LAIM_INLINE ScoreScale(T scale)
      : sign(scale > T(0)   ? T(1)
             : scale < T(0) ? T(-1)
                            : scale),
        size(scale == T(0) ? T(1) : T(__builtin_fabs(scale))) {}
};

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
    return padded_keys * steps + ceil_div(padded_keys, span<O>) * padded_channels;
  }
  LAIM_INLINE O* panels(int64_t head) const { return data + head * head_size(); }
  LAIM_INLINE O* values(int64_t head) const { return panels(head) + padded_keys * steps; }
};

// Parts of one piece of scratch memory, for operands and numbers of one size.
template <class T, class O>
struct Parts {
  static_assert(sizeof(T) == sizeof(O), "counted in elements of either");
  T* memory;
  LAIM_INLINE T* numbers(int64_t count) {
    T* part = memory;
    memory += round_up(count, Vec<T>::width);
    return part;
  }
  LAIM_INLINE O* operands(int64_t count) { return reinterpret_cast<O*>(numbers(count)); }
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

  Parts<T, O> parts = {scratch_of<T>(Slot::attention_worker,
                                     attention_block * (steps + padded + attention_block + 3) + score_tile_size<T, O>)};
  O* queries_DQ = parts.operands(attention_block * steps);
  O* weights_KQ = parts.operands(attention_block * attention_block / span<O>);
  T* own_tile = parts.numbers(score_tile_size<T, O>);
  T* out_QD = parts.numbers(attention_block * padded);
  T* maximum = parts.numbers(attention_block);
  T* sum = parts.numbers(attention_block);
  T* shrink = parts.numbers(attention_block);

  const Matrix<const S> q = args.q.matrix(b, h);
  pack_panel(queries_DQ, attention_block, Matrix<const S>{q.at(query0, 0), q.row_stride, q.column_stride}, count,
             channels);
  scale_numbers(queries_DQ, attention_block * steps, T(args.scale));
  for (int64_t i = 0; i < attention_block * padded; ++i) out_QD[i] = T(0);
  for (int64_t i = 0; i < attention_block; ++i) maximum[i] = T(-__builtin_inf()), sum[i] = T(0);

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
      if (!block.full) clear_unseen(block, g, weights_KQ);
    }
    if (changed && key0 > seen.begin) {  // in the first block there is nothing to shrink yet
      for (int64_t i = 0; i < count; ++i) {
        const V factor = V::all(shrink[i]);
        for (int64_t d = 0; d < padded; d += V::width)
          (V::load(out_QD + i * padded + d) * factor).store(out_QD + i * padded + d);
      }
    }
    multiply_block<T, 1>(count, padded, weights_KQ, Tile::rows, attention_block,
                         packed.values(head) + key0 / span<O> * padded, padded, out_QD, padded,
                         [&](int64_t i) { return block.any(i, i + Tile::rows - 1); });
  }

  for (int64_t i = 0; i < count; ++i) {
    // A query that sees no key: sum 0, zeros out. A NaN sum is kept: it must reach the output.
    const V inverse = V::all(sum[i] == T(0) ? T(0) : T(1) / sum[i]);
    S* out = args.out.matrix(b, h).at(query0 + i, 0);
    each_vector<V>(channels,
                   [&](int64_t d, int64_t n) { store(V::load(out_QD + i * padded + d) * inverse, out + d, n); });
    args.lse[(b * args.query_heads + h) * args.queries + query0 + i] =
        sum[i] == T(0) ? T(-__builtin_inf()) : maximum[i] * scale.size + T(__builtin_log(sum[i]));
  }
}

template <class S>
void attention(const AttentionArgs<S>& args, const Parallel& parallel) {
  using O = Operand<S>;
  static_assert(Tile::rows % span<O> == 0, "a pair of keys never lies in two micro-tiles");
  if (args.batch == 0 || args.query_heads == 0 || args.queries == 0) return;
  PackedKeys<O> packed = {ceil_div(args.channels, span<O>), round_up(args.keys, Tile::rows),
                          round_up(args.channels, Vec<O>::width), nullptr};
  packed.data = scratch_of<O>(Slot::attention_packed, args.batch * args.key_heads * packed.head_size() + 1);
  parallel.for_each(args.batch * args.key_heads, [&](int64_t head) {
    const int64_t b = head / args.key_heads, h = head % args.key_heads;
    pack_panels(packed.panels(head), Tile::rows, args.k.matrix(b, h), args.keys, args.channels);
    pack_rows(packed.values(head), packed.padded_channels, args.v.matrix(b, h), args.keys, args.channels);
  });
  const int64_t blocks = ceil_div(args.queries, attention_block);
  parallel.for_each(args.batch * args.query_heads * blocks, [&](int64_t task) {
    // Last blocks first: under a causal mask they take longest.
    const int64_t block = blocks - 1 - task % blocks, head = task / blocks;
    attention_query_block(args, packed, head / args.query_heads, head % args.query_heads, block * attention_block);
  });
}

}  // namespace laim::LAIM_ISA
