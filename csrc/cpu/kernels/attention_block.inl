// What attention's forward and backward share: one block of queries against one of keys, who sees whom, scores, and
// sums over keys.
#pragma once

namespace laim::LAIM_ISA {

// Queries and keys per block: a multiple of every Tile::rows and every Tile::vectors * Vec::width.
constexpr int64_t attention_block = 96;

template <class T>
constexpr int64_t tile_queries = Tile::vectors * Vec<T>::width;  // queries per group of one micro-tile

// Rows of one head as the micro-kernel's B operand, summed over rows: (count / span, padded channels), zero beyond
// `channels` and, up to whole steps, beyond `count`.
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
  for (int64_t i = ceil_div(count, span<O>) * padded; i < operands_of<O>(count) * padded; ++i) dst[i] = O{};
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
  const int64_t steps = operands_of<O>(channels);
  const O* queries = queries_DQ + g * tile_queries<T>;
  for (int64_t key = mask.group[g].begin; key < mask.group[g].end; key += Tile::rows) {
    const O* keys = key_panels + key * steps;
    MicroSums<T, Tile::vectors> tile;
    tile.clear();
    if constexpr (span<O> == 1)
      tile.template multiply_chains<Tile::panel_row>(steps <= 64 ? steps : ceil_div(steps, 2), steps, keys, Tile::rows,
                                                     queries, attention_block);
    else  // the error of a long chain of additions disappears beside the rounding of bf16 operands
      tile.template multiply<Tile::panel_row>(steps, keys, Tile::rows, queries, attention_block);
    tile.store(out.at(key, 0), out.stride);
  }
  if (sign == T(1)) return;
  for (int64_t key = mask.group[g].begin; key < mask.group[g].end; ++key)
    for (int64_t q = 0; q < tile_queries<T>; ++q) *out.at(key, q) *= sign;
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
  clear_outside(weights_KQ + g * tile_queries<T>, attention_block, tile_queries<T>, seen, operands_of<O>(mask.keys));
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

// Rows of one head as the operand that is summed over rows, values in the forward and keys in the backward. Vector
// registers want it as B, (keys / span, padded channels), tile registers transposed and as A, in panels of channels.
template <class O>
struct SummedKeys {
  O* data;
  int64_t keys, padded;  // keys: the rows, up to whole micro-tiles

  static LAIM_INLINE int64_t size(int64_t keys, int64_t padded) {
    return operands_of<O>(keys) * (has_tiles ? round_up(padded, Tile::rows) : padded);
  }
  LAIM_INLINE int64_t panel_size() const { return operands_of<O>(keys) * Tile::rows; }
  // From the key `key0` on, the first of a block.
  LAIM_INLINE const O* at(int64_t key0) const { return data + key0 / span<O> * (has_tiles ? Tile::rows : padded); }

  template <class S>
  LAIM_INLINE void pack(Matrix<const S> src, int64_t count, int64_t channels) const {
    if constexpr (has_tiles) {
      pack_left(data, Matrix<const S>{src.data, src.column_stride, src.row_stride}, channels, count);
    } else {
      pack_rows(data, padded, src, count, channels);
    }
  }
};

// What a block of queries sums over keys, (query, padded channels): weights times values in the forward, gradients of
// scores times keys in the backward. The weights are [key / span][query]. For vector registers that is an A operand.
// For tile registers it is B as it lies, so that they sum (channel, query), which is transposed when all is there.
template <class T, class O>
struct QuerySums {
  T *rows, *columns;
  int64_t padded;

  static LAIM_INLINE int64_t columns_size(int64_t padded) {
    return has_tiles ? attention_block * round_up(padded, Tile::rows) : 0;
  }

  LAIM_INLINE void clear() const {
    T* const sums = has_tiles ? columns : rows;
    const int64_t count = has_tiles ? columns_size(padded) : attention_block * padded;
    for (int64_t i = 0; i < count; ++i) sums[i] = T(0);
  }

  // Every query's sums by its own factor.
  LAIM_INLINE void scale(const T* factor, int64_t queries) const {
    using V = Vec<T>;
    if constexpr (has_tiles) {
      for (int64_t d = 0; d < padded; ++d)
        for (int64_t q = 0; q < queries; q += V::width) {
          T* const at = columns + d * attention_block + q;
          (V::load(at) * V::load(factor + q)).store(at);
        }
    } else {
      for (int64_t q = 0; q < queries; ++q) {
        const V each = V::all(factor[q]);
        for (int64_t d = 0; d < padded; d += V::width)
          (V::load(rows + q * padded + d) * each).store(rows + q * padded + d);
      }
    }
  }

  // key0: the block's first key among those of `of_keys`.
  LAIM_INLINE void add(const BlockMask<T>& mask, const O* weights_KQ, const SummedKeys<O>& of_keys,
                       int64_t key0) const {
    if constexpr (has_tiles) {
      for (int64_t g = 0; g * tile_queries<T> < mask.padded; ++g)
        multiply_block<T, Tile::panel_row>(padded, tile_queries<T>, of_keys.at(key0), of_keys.panel_size(), Tile::rows,
                                           weights_KQ + g * tile_queries<T>, attention_block,
                                           columns + g * tile_queries<T>, attention_block,
                                           [&](int64_t) { return mask.group[g]; });
    } else {
      multiply_block<T, 1>(mask.queries, padded, weights_KQ, Tile::rows, attention_block, of_keys.at(key0), padded,
                           rows, padded, [&](int64_t i) { return mask.any(i, i + Tile::rows - 1); });
    }
  }

  // (queries, padded)
  LAIM_INLINE const T* finished(int64_t queries) const {
    using V = Vec<T>;
    if constexpr (has_tiles) {
      for (int64_t q = 0; q < queries; q += V::width)
        for (int64_t d = 0; d < padded; d += V::width) {
          V square[V::width];
#pragma GCC unroll 16
          for (int i = 0; i < V::width; ++i) square[i] = V::load(columns + (d + i) * attention_block + q);
          transpose(square);
#pragma GCC unroll 16
          for (int i = 0; i < V::width; ++i) square[i].store(rows + (q + i) * padded + d);
        }
    }
    return rows;
  }
};

}  // namespace laim::LAIM_ISA
