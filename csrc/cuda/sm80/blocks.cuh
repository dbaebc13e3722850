// Which rows a block of attention's kernels owns and which of the other side it streams past them, whatever multiplies.
#pragma once
#include "core/kernels.h"
#include "cuda/launch.h"
#include "cuda/ptx.cuh"

namespace laim::cuda {

template <class Shape, class S>
Launch attention_launch(const AttentionArgs<S>& args) {
  const int64_t blocks = ceil_div(args.queries, Shape::queries) * args.query_heads * args.batch;
  return {uint32_t(blocks), 1, 1, Shape::threads, Shape::shared_bytes};
}

// Of the forward: owns queries, streams keys.
struct QueryBlock {
  int64_t b, head, key_head, query0;
  Mask mask;
  int64_t key0, key_end;  // the keys that some query sees, from the beginning of a tile on
};
template <class Shape, class S>
LAIM_DEVICE QueryBlock query_block(const AttentionArgs<S>& args) {
  // Last queries first: under a causal mask they take longest.
  const int64_t blocks = ceil_div(args.queries, Shape::queries);
  const int64_t query0 = (blocks - 1 - block_x() % blocks) * Shape::queries;
  const int64_t head = block_x() / blocks % args.query_heads, b = block_x() / blocks / args.query_heads;
  const Mask mask = args.mask(b);
  const Interval seen = mask.visible_to_any(query0, min(query0 + Shape::queries, args.queries) - 1);
  return {b,       head, head / (args.query_heads / args.key_heads),
          query0,  mask, seen.begin / Shape::keys * Shape::keys,
          seen.end};
}

// Of the backward, which a block sees from one of two sides.
enum class Side { queries, keys };

template <class Shape, class S>
Launch attention_backward_launch(const AttentionArgs<S>& args) {
  const bool keys = Shape::side == Side::keys;
  const int64_t blocks = ceil_div(keys ? args.keys : args.queries, Shape::rows);
  return {uint32_t(blocks * (keys ? args.key_heads : args.query_heads) * args.batch), Shape::parts, 1, Shape::threads,
          Shape::shared_bytes};
}

template <class Shape>
struct StreamingBlock {
  static constexpr bool keys_own = Shape::side == Side::keys;
  int64_t b, head, group;  // head: of the own side; group: query heads of a key head
  int64_t row, rows;       // the first of the block's rows, and where all end
  int64_t stream0;         // the first row of the other side that is streamed
  int tiles, steps;        // of one head; of all heads
  Mask mask;

  LAIM_DEVICE int64_t query_head(int i) const { return keys_own ? head * group + i / tiles : head; }
  LAIM_DEVICE int64_t stream_head(int i) const { return keys_own ? query_head(i) : head / group; }
  LAIM_DEVICE int64_t stream_row(int i) const { return stream0 + i % tiles * Shape::streamed; }
  // Where the rows end that are read: beyond are neither queries nor keys, or keys that are padding.
  LAIM_DEVICE int64_t own_end() const { return keys_own ? mask.key_length : mask.queries; }
  LAIM_DEVICE int64_t stream_end() const { return keys_own ? mask.queries : mask.key_length; }
  // What an own row sees of the other side.
  LAIM_DEVICE Interval visible(int64_t own) const { return keys_own ? mask.seeing_any(own, own) : mask.visible(own); }
};
template <class Shape, class S>
LAIM_DEVICE StreamingBlock<Shape> streaming_block(const AttentionArgs<S>& args) {
  constexpr bool keys_own = Shape::side == Side::keys;
  const int64_t heads = keys_own ? args.key_heads : args.query_heads, rows = keys_own ? args.keys : args.queries;
  const int64_t blocks = ceil_div(rows, Shape::rows), group = args.query_heads / args.key_heads;
  const int64_t row = block_x() % blocks * Shape::rows, last_row = min(row + Shape::rows, rows) - 1;
  const int64_t head = block_x() / blocks % heads, b = block_x() / blocks / heads;
  const Mask mask = args.mask(b);
  const Interval seen = keys_own ? mask.seeing_any(row, last_row) : mask.visible_to_any(row, last_row);
  const int64_t stream0 = seen.begin / Shape::streamed * Shape::streamed;
  const int tiles = seen.begin < seen.end ? int(ceil_div(seen.end - stream0, Shape::streamed)) : 0;
  return {b, head, group, row, rows, stream0, tiles, keys_own ? tiles * int(group) : tiles, mask};
}

}  // namespace laim::cuda
