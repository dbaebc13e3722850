// Attention backward: scores are recomputed from Q, K and the saved log-sum-exp, tile by tile.
//
//   P = exp(scale Q K^T - lse), dV = P^T dO, dP = dO V^T, dS = P (dP - rowsum(dO O)),
//   dQ = scale dS K, dK = dS^T (scale Q)                                    (Dao et al. 2022, algorithm 4)
//
// Tiles are tile[key][query] as in the forward. A task is one key head with all query heads that share it, so that
// nothing is summed across tasks and results do not depend on threads.
#pragma once

namespace laim::LAIM_ISA {

// One key head's operands and sums.
template <class T>
struct KeyHead {
  T *key_panels, *value_panels, *keys_KD, *gradient_k_KD, *gradient_v_KD;
};

// One block of queries.
template <class T>
struct QueryBlock {
  T *queries_DQ, *gradient_DQ, *queries_QD, *gradient_QD, *gradient_q_QD, *lse, *delta;
};

template <class S>
LAIM_INLINE void load_query_block(const AttentionBackwardArgs<S>& args, int64_t b, int64_t h, int64_t query0,
                                  int64_t count, int64_t padded, const QueryBlock<Compute<S>>& block) {
  using T = Compute<S>;
  using V = Vec<T>;
  const auto& forward = args.forward;
  const int64_t channels = forward.channels;
  const auto from = [&](Matrix<const S> m) { return Matrix<const S>{m.at(query0, 0), m.row_stride, m.column_stride}; };
  const Matrix<const S> q = from(forward.q.matrix(b, h)), gradient = from(args.gradient.matrix(b, h));
  pack_panel<T, S>(block.queries_DQ, attention_block, q, count, channels, T(forward.scale));
  pack_panel<T, S>(block.gradient_DQ, attention_block, gradient, count, channels, T(1));
  pack_rows<T, S>(block.queries_QD, padded, q, count, channels, T(forward.scale));
  pack_rows<T, S>(block.gradient_QD, padded, gradient, count, channels, T(1));
  for (int64_t i = 0; i < attention_block * padded; ++i) block.gradient_q_QD[i] = T(0);
  for (int64_t i = 0; i < attention_block; ++i) block.lse[i] = block.delta[i] = T(0);
  const S* out = forward.out.matrix(b, h).at(query0, 0);
  for (int64_t i = 0; i < count; ++i) {
    const T lse = forward.lse[(b * forward.query_heads + h) * forward.queries + query0 + i];
    block.lse[i] = lse == T(-__builtin_inf()) ? T(0) : lse;  // sees no key: masked everywhere below
    V dot = V::zero();
    each_vector<V>(channels, [&](int64_t d, int64_t n) {
      dot = V::fma(load<V>(out + i * forward.out.row + d, n), load<V>(block.gradient_QD + i * padded + d, n), dot);
    });
    block.delta[i] = dot.sum();
  }
}

// scores -> P and dP -> dS, in place, for one group of queries.
template <class T>
LAIM_INLINE void probabilities(const BlockMask<T>& mask, int64_t g, const QueryBlock<T>& block, T* p_KQ, T* ds_KQ) {
  using V = Vec<T>;
  for (int64_t q = g * tile_queries<T>; q < (g + 1) * tile_queries<T>; q += V::width) {
    const V lse = V::load(block.lse + q), delta = V::load(block.delta + q);
    for (int64_t key = mask.group[g].begin; key < mask.group[g].end; ++key) {
      T* p_at = p_KQ + key * attention_block + q;
      T* ds_at = ds_KQ + key * attention_block + q;
      V p = exp(V::load(p_at) - lse);
      V ds = p * (V::load(ds_at) - delta);
      if (!mask.full) {
        const auto seen = mask.sees(q, key);
        p = V::select(seen, p, V::zero());
        ds = V::select(seen, ds, V::zero());
      }
      p.store(p_at);
      ds.store(ds_at);
    }
  }
}

template <class T>
LAIM_INLINE void backward_tile(const BlockMask<T>& mask, int64_t key0, int64_t channels, int64_t padded,
                               const KeyHead<T>& head, const QueryBlock<T>& block, T* p_KQ, T* ds_KQ) {
  scores(mask, head.key_panels + key0 * channels, block.queries_DQ, channels, p_KQ);
  scores(mask, head.value_panels + key0 * channels, block.gradient_DQ, channels, ds_KQ);
  for (int64_t g = 0; g * tile_queries<T> < mask.padded; ++g) {
    probabilities(mask, g, block, p_KQ, ds_KQ);
    if (!mask.full) {
      clear_unseen(mask, g, p_KQ);
      clear_unseen(mask, g, ds_KQ);
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
  multiply_block<T, attention_block>(mask.keys, padded, p_KQ, Tile::rows * attention_block, 1, block.gradient_QD,
                                     padded, head.gradient_v_KD + key0 * padded, padded, queries_seeing);
  multiply_block<T, attention_block>(mask.keys, padded, ds_KQ, Tile::rows * attention_block, 1, block.queries_QD,
                                     padded, head.gradient_k_KD + key0 * padded, padded, queries_seeing);
  multiply_block<T, 1>(mask.queries, padded, ds_KQ, Tile::rows, attention_block, head.keys_KD + key0 * padded, padded,
                       block.gradient_q_QD, padded, [&](int64_t i) { return mask.any(i, i + Tile::rows - 1); });
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

template <class S>
void attention_backward_head(const AttentionBackwardArgs<S>& args, int64_t b, int64_t key_head) {
  using T = Compute<S>;
  const auto& forward = args.forward;
  const int64_t channels = forward.channels, padded = round_up(channels, Vec<T>::width);
  const int64_t padded_keys = round_up(forward.keys, Tile::rows);
  const int64_t group = forward.query_heads / forward.key_heads;

  const int64_t block_elements = attention_block * (2 * channels + 3 * padded + 2 + 2 * attention_block);
  T* memory = scratch_of<T>(Slot::attention_worker, padded_keys * (2 * channels + 3 * padded) + block_elements);
  const auto take = [&](int64_t elements) {
    T* taken = memory;
    memory += elements;
    return taken;
  };
  T* p_KQ = take(attention_block * attention_block);
  T* ds_KQ = take(attention_block * attention_block);
  const QueryBlock<T> block = {take(attention_block * channels),
                               take(attention_block * channels),
                               take(attention_block * padded),
                               take(attention_block * padded),
                               take(attention_block * padded),
                               take(attention_block),
                               take(attention_block)};
  const KeyHead<T> head = {take(padded_keys * channels), take(padded_keys * channels), take(padded_keys * padded),
                           take(padded_keys * padded), take(padded_keys * padded)};

  const Matrix<const S> k = forward.k.matrix(b, key_head), v = forward.v.matrix(b, key_head);
  pack_panels<T, S>(head.key_panels, Tile::rows, k, forward.keys, channels, T(1));
  pack_panels<T, S>(head.value_panels, Tile::rows, v, forward.keys, channels, T(1));
  pack_rows<T, S>(head.keys_KD, padded, k, forward.keys, channels, T(1));
  for (int64_t i = 0; i < padded_keys * padded; ++i) head.gradient_k_KD[i] = head.gradient_v_KD[i] = T(0);

  const Mask mask = forward.mask(b);
  BlockMask<T> seen_block;
  for (int64_t h = key_head * group; h < (key_head + 1) * group; ++h) {
    for (int64_t query0 = 0; query0 < forward.queries; query0 += attention_block) {
      const int64_t count = min(attention_block, forward.queries - query0);
      load_query_block(args, b, h, query0, count, padded, block);
      const Interval seen = mask.visible_to_any(query0, query0 + count - 1);
      // Whole micro-tiles of keys: the products for dK and dV write all their rows, so unseen ones must be masked, not
      // left.
      const int64_t key_end = round_up(seen.end, Tile::rows);
      for (int64_t key0 = seen.begin / attention_block * attention_block; key0 < seen.end; key0 += attention_block) {
        seen_block.set(mask, query0, count, key0, min(attention_block, key_end - key0));
        backward_tile(seen_block, key0, channels, padded, head, block, p_KQ, ds_KQ);
      }
      const Matrix<S> gradient_q = args.gradient_q.matrix(b, h);
      store_rows<S>({gradient_q.at(query0, 0), gradient_q.row_stride, 1}, block.gradient_q_QD, padded, count, channels,
                    T(forward.scale));
    }
  }
  store_rows<S>(args.gradient_k.matrix(b, key_head), head.gradient_k_KD, padded, forward.keys, channels, T(1));
  store_rows<S>(args.gradient_v.matrix(b, key_head), head.gradient_v_KD, padded, forward.keys, channels, T(1));
}

template <class S>
void attention_backward(const AttentionBackwardArgs<S>& args, const Parallel& parallel) {
  const auto& forward = args.forward;
  parallel.for_each(forward.batch * forward.key_heads, [&](int64_t task) {
    attention_backward_head(args, task / forward.key_heads, task % forward.key_heads);
  });
}

}  // namespace laim::LAIM_ISA
