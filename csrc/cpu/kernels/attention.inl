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

// Rows of one head as the micro-kernel's B operand: (count, padded channels), zero beyond `channels`.
template <class T, class S>
LAIM_INLINE void pack_rows(T* dst, int64_t padded, Matrix<const S> src, int64_t count, int64_t channels, T scale) {
  for (int64_t i = 0; i < count; ++i) {
    T* row = dst + i * padded;
    if (src.column_stride == 1) {
      each_vector<Vec<T>>(channels, [&](int64_t d, int64_t n) {
        store(load<Vec<T>>(src.at(i, d), n) * Vec<T>::all(scale), row + d, n);
      });
    } else {
      for (int64_t d = 0; d < channels; ++d) row[d] = element<T>(src.at(i, d)) * scale;
    }
    for (int64_t d = channels; d < padded; ++d) row[d] = T(0);
  }
}

// Rows of one head as panels of the A operand: panel p holds rows p * width ... as [channel][row], zero beyond `count`.
template <class T, class S>
LAIM_INLINE void pack_panels(T* dst, int width, Matrix<const S> src, int64_t count, int64_t channels, T scale) {
  for (int64_t i = 0; i < count; i += width) {
    const Matrix<const S> rows = {src.at(i, 0), src.row_stride, src.column_stride};
    pack_panel<T, S>(dst + i * channels, width, rows, min<int64_t>(width, count - i), channels, scale);
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

// tile[key][query] = sum over channels of panel[channel][key] * queries[channel][query], where the mask leaves
// anything.
template <class T>
LAIM_INLINE void scores(const BlockMask<T>& mask, const T* key_panels, const T* queries_DQ, int64_t channels,
                        T* tile_KQ) {
  // One chain of additions after the other: the rounding error of a single long one would be larger.
  const int64_t chain = channels <= 64 ? channels : ceil_div(channels, 2);
  for (int64_t g = 0; g * tile_queries<T> < mask.padded; ++g) {
    for (int64_t key = mask.group[g].begin; key < mask.group[g].end; key += Tile::rows) {
      Sums<T, Tile::rows, Tile::vectors> tile;
      tile.clear();
      tile.template multiply<1>(chain, key_panels + key * channels, Tile::rows, queries_DQ + g * tile_queries<T>,
                                attention_block);
      if (chain < channels) {
        Sums<T, Tile::rows, Tile::vectors> rest;
        rest.clear();
        rest.template multiply<1>(channels - chain, key_panels + key * channels + chain * Tile::rows, Tile::rows,
                                  queries_DQ + chain * attention_block + g * tile_queries<T>, attention_block);
        tile.add(rest);
      }
      tile.store(tile_KQ + key * attention_block + g * tile_queries<T>, attention_block);
    }
  }
}

// Zero what `scores` left out, so that products over whole blocks of keys read zeros there.
template <class T>
LAIM_INLINE void clear_unseen(const BlockMask<T>& mask, int64_t g, T* tile_KQ) {
  for (int64_t key = 0; key < mask.keys; ++key) {
    if (key == mask.group[g].begin) key = mask.group[g].end;
    if (key >= mask.keys) break;
    T* row = tile_KQ + key * attention_block + g * tile_queries<T>;
    for (int64_t q = 0; q < tile_queries<T>; ++q) row[q] = T(0);
  }
}

// One step of the online softmax for one vector of queries: turns scores into exp(score - maximum), updates maximum and
// sum, returns the factor by which everything accumulated so far shrinks.
template <class T>
LAIM_INLINE Vec<T> softmax_step(const BlockMask<T>& mask, int64_t q, Interval seen, T* tile_KQ, T* maximum, T* sum) {
  using V = Vec<T>;
  const V lowest = V::all(T(-__builtin_inf()));
  const V before = V::load(maximum + q);
  V top = before;
  if (mask.full) {
    for (int64_t key = seen.begin; key < seen.end; ++key)
      top = V::max(top, V::load(tile_KQ + key * attention_block + q));
  } else {
    for (int64_t key = seen.begin; key < seen.end; ++key) {
      T* at = tile_KQ + key * attention_block + q;
      const V score = V::select(mask.sees(q, key), V::load(at), lowest);
      score.store(at);
      top = V::max(top, score);
    }
  }
  // Where nothing has been seen yet the maximum is -inf; 0 stands in so that exp(-inf - 0) gives the zeros wanted.
  const V safe = V::select(V::less(lowest, top), top, V::zero());
  V part = V::zero();
  for (int64_t key = seen.begin; key < seen.end; ++key) {
    T* at = tile_KQ + key * attention_block + q;
    const V p = exp(V::load(at) - safe);
    p.store(at);
    part = part + p;
  }
  const V shrink = exp(before - safe);
  V::fma(V::load(sum + q), shrink, part).store(sum + q);
  top.store(maximum + q);
  return shrink;
}

// Packed K and V of all key heads, made once per call and shared by all tasks.
template <class T>
struct PackedKeys {
  int64_t keys, channels, padded_keys, padded_channels;
  T* data;

  LAIM_INLINE int64_t head_size() const { return padded_keys * (channels + padded_channels); }
  LAIM_INLINE T* panels(int64_t head) const { return data + head * head_size(); }
  LAIM_INLINE T* values(int64_t head) const { return panels(head) + padded_keys * channels; }
};

template <class S>
void attention_query_block(const AttentionArgs<S>& args, const PackedKeys<Compute<S>>& packed, int64_t b, int64_t h,
                           int64_t query0) {
  using T = Compute<S>;
  using V = Vec<T>;
  const int64_t channels = args.channels, padded = packed.padded_channels;
  const int64_t head = b * args.key_heads + h / (args.query_heads / args.key_heads);
  const int64_t count = min(attention_block, args.queries - query0);

  T* memory = scratch_of<T>(Slot::attention_worker, attention_block * (channels + padded + attention_block + 3));
  T* queries_DQ = memory;
  T* tile_KQ = queries_DQ + attention_block * channels;
  T* out_QD = tile_KQ + attention_block * attention_block;
  T* maximum = out_QD + attention_block * padded;
  T* sum = maximum + attention_block;
  T* shrink = sum + attention_block;

  const Matrix<const S> q = args.q.matrix(b, h);
  pack_panel<T, S>(queries_DQ, attention_block, {q.at(query0, 0), q.row_stride, q.column_stride}, count, channels,
                   T(args.scale));
  for (int64_t i = 0; i < attention_block * padded; ++i) out_QD[i] = T(0);
  for (int64_t i = 0; i < attention_block; ++i) maximum[i] = T(-__builtin_inf()), sum[i] = T(0);

  const Mask mask = args.mask(b);
  const Interval seen = mask.visible_to_any(query0, query0 + count - 1);
  BlockMask<T> block;
  for (int64_t key0 = seen.begin / attention_block * attention_block; key0 < seen.end; key0 += attention_block) {
    block.set(mask, query0, count, key0, min(attention_block, seen.end - key0));
    scores(block, packed.panels(head) + key0 * channels, queries_DQ, channels, tile_KQ);
    bool changed = false;
    for (int64_t g = 0; g * tile_queries<T> < block.padded; ++g) {
      for (int64_t q0 = g * tile_queries<T>; q0 < (g + 1) * tile_queries<T>; q0 += V::width) {
        const V factor = softmax_step(block, q0, block.group[g], tile_KQ, maximum, sum);
        factor.store(shrink + q0);
        changed = changed || V::any(V::less(factor, V::all(T(1))));
      }
      if (!block.full) clear_unseen(block, g, tile_KQ);
    }
    if (changed && key0 > seen.begin) {  // in the first block there is nothing to shrink yet
      for (int64_t i = 0; i < count; ++i) {
        const V factor = V::all(shrink[i]);
        for (int64_t d = 0; d < padded; d += V::width)
          (V::load(out_QD + i * padded + d) * factor).store(out_QD + i * padded + d);
      }
    }
    multiply_block<T, 1>(count, padded, tile_KQ, Tile::rows, attention_block, packed.values(head) + key0 * padded,
                         padded, out_QD, padded, [&](int64_t i) { return block.any(i, i + Tile::rows - 1); });
  }

  for (int64_t i = 0; i < count; ++i) {
    // A query that sees no key: sum 0, zeros out. A NaN sum is kept: it must reach the output.
    const V inverse = V::all(sum[i] == T(0) ? T(0) : T(1) / sum[i]);
    S* out = args.out.matrix(b, h).at(query0 + i, 0);
    each_vector<V>(channels,
                   [&](int64_t d, int64_t n) { store(V::load(out_QD + i * padded + d) * inverse, out + d, n); });
    args.lse[(b * args.query_heads + h) * args.queries + query0 + i] =
        sum[i] == T(0) ? T(-__builtin_inf()) : maximum[i] + T(__builtin_log(sum[i]));
  }
}

template <class S>
void attention(const AttentionArgs<S>& args, const Parallel& parallel) {
  using T = Compute<S>;
  if (args.batch == 0 || args.query_heads == 0 || args.queries == 0) return;
  PackedKeys<T> packed = {args.keys, args.channels, round_up(args.keys, Tile::rows),
                          round_up(args.channels, Vec<T>::width), nullptr};
  packed.data = scratch_of<T>(Slot::attention_packed, args.batch * args.key_heads * packed.head_size() + 1);
  parallel.for_each(args.batch * args.key_heads, [&](int64_t head) {
    const int64_t b = head / args.key_heads, h = head % args.key_heads;
    pack_panels<T, S>(packed.panels(head), Tile::rows, args.k.matrix(b, h), args.keys, args.channels, T(1));
    pack_rows<T, S>(packed.values(head), packed.padded_channels, args.v.matrix(b, h), args.keys, args.channels, T(1));
  });
  const int64_t blocks = ceil_div(args.queries, attention_block);
  parallel.for_each(args.batch * args.query_heads * blocks, [&](int64_t task) {
    // Last blocks first: under a causal mask they take longest.
    const int64_t block = blocks - 1 - task % blocks, head = task / blocks;
    attention_query_block(args, packed, head / args.query_heads, head % args.query_heads, block * attention_block);
  });
}

}  // namespace laim::LAIM_ISA
