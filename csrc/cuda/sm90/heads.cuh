// What attention's kernels for sm_90a share, forward and backward: tiles of a head's rows as TMA brings them, and the
// two products of a warpgroup that attention is made of.
//
// A tile, of Shape::tile_rows rows of Shape::channels channels, lies in boxes of 64 channels, box_bytes each.
#pragma once
#include "cuda/sm80/softmax.cuh"
#include "cuda/wgmma.cuh"

namespace laim::cuda {

// The maps of queries, keys and values, in boxes of so many rows. Returns nullptr, or why TMA cannot take them.
template <class S>
const char* attention_maps(const AttentionArgs<S>& args, int box_rows, TensorMap* q, TensorMap* k, TensorMap* v) {
  const auto make = [&](TensorMap* map, const View4<const S>& view, int64_t heads, int64_t rows) {
    return make_tensor_map(map, view, args.batch, heads, rows, args.channels, box_rows);
  };
  const char* error = make(q, args.q, args.query_heads, args.queries);
  if (!error) error = make(k, args.k, args.key_heads, args.keys);
  return error ? error : make(v, args.v, args.key_heads, args.keys);
}

// The boxes of a tile, from `row` of a head on. Their bytes must have been announced to `full`.
template <class Shape>
LAIM_DEVICE void load_boxes(uint8_t* to, const TensorMap& map, int64_t batch, int64_t head, int64_t row,
                            Mbarrier* full) {
  for (int box = 0; box < Shape::boxes; ++box)
    load_box(to + box * Shape::box_bytes, map, batch, head, row, box * box_columns, full);
}

// Rows of a tile from `first` on become zeros, by one warp. TMA knows where the keys end, not where a key length ends;
// padding may hold anything, also NaN, which a weight of 0 would not take out.
template <class Shape>
LAIM_DEVICE void clear_rows(uint8_t* tile, int first) {
  constexpr int chunks = box_columns / 8;
  for (int at = first * chunks + lane_index(); at < Shape::tile_rows * chunks; at += warp_size) {
    LAIM_UNROLL
    for (int box = 0; box < Shape::boxes; ++box)
      store_shared(reinterpret_cast<Chunk*>(tile + box * Shape::box_bytes) + at, Chunk{});
  }
}

// Of a tile whose rows run along k: the operand of a step of 16 channels.
template <class Shape>
LAIM_DEVICE uint64_t channels_step(uint64_t tile, int step) {
  return next_step<false>(tile + uint64_t(step / 4 * Shape::box_bytes >> 4), step % 4);
}

// scores = left right^T, over the channels: 64 rows from `left` on, 2 count rows from `right` on. Issued and committed.
template <class S, class Shape, int count>
LAIM_DEVICE void multiply_tiles(float (&scores)[count], const uint8_t* left, const uint8_t* right) {
  const uint64_t rows = operand_descriptor(left, 0), columns = operand_descriptor(right, 0);
  wgmma_fence(scores);
  LAIM_UNROLL
  for (int step = 0; step < Shape::channels / 16; ++step)
    wgmma<S, false, false>(scores, channels_step<Shape>(rows, step), channels_step<Shape>(columns, step), step > 0);
  wgmma_commit();
}

// sums += weights tile, over 16 `steps` rows of the tile. Issued and committed.
template <class S, class Shape, int count, int steps>
LAIM_DEVICE void multiply_weights(float (&sums)[count], uint32_t (&weights)[steps][4], const uint8_t* tile) {
  const uint64_t right = operand_descriptor(tile, Shape::box_bytes);
  wgmma_fence(sums, weights);
  LAIM_UNROLL
  for (int step = 0; step < steps; ++step) wgmma<S, true>(sums, weights[step], next_step<true>(right, step));
  wgmma_commit();
}

template <class S, int count, int steps>
LAIM_DEVICE void pack_weights(uint32_t (&weights)[steps][4], float (&scores)[count]) {
  LAIM_UNROLL
  for (int step = 0; step < steps; ++step) pack_left<S>(weights[step], column_blocks(scores), step);
}

// What a multiplying warp's first lane says for the warp: its wgmma have read the stage.
LAIM_DEVICE void give_back(Mbarrier* empty) {
  if (lane_index() == 0) mbarrier_arrive(empty);
}

}  // namespace laim::cuda
