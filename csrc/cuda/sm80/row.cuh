// Rows in global memory: each thread takes a piece of neighbouring columns at a time, 16 bytes of them.
#pragma once
#include "cuda/ptx.cuh"

namespace laim::cuda {

template <class S>
constexpr int row_step = 16 / int(sizeof(S));

template <class S>
struct Piece {
  float value[row_step<S>];
};
// A piece as it lies in memory, to move in one instruction.
template <class S>
struct alignas(16) PackedPiece {
  Packed<S> pair[row_step<S> / 2];
};

// `by_chunks`: all rows begin at multiples of 16 bytes, and `count` is row_step. Else element by element, zeros from
// `count` on.
template <class S>
LAIM_DEVICE Piece<S> load_piece(const S* from, int count, bool by_chunks) {
  Piece<S> out;
  if (by_chunks) {
    const PackedPiece<S> packed = load_global(reinterpret_cast<const PackedPiece<S>*>(from));
    LAIM_UNROLL
    for (int i = 0; i < row_step<S> / 2; ++i) {
      const Pair pair = unpack<S>(packed.pair[i]);
      out.value[2 * i] = pair.first;
      out.value[2 * i + 1] = pair.second;
    }
  } else {
    LAIM_UNROLL
    for (int i = 0; i < row_step<S>; ++i) out.value[i] = i < count ? to_float(load_global(from + i)) : 0.0f;
  }
  return out;
}

template <class S>
LAIM_DEVICE void store_piece(S* to, const Piece<S>& values, int count, bool by_chunks) {
  if (by_chunks) {
    PackedPiece<S> packed;
    LAIM_UNROLL
    for (int i = 0; i < row_step<S> / 2; ++i) packed.pair[i] = pack<S>(values.value[2 * i], values.value[2 * i + 1]);
    store_global(reinterpret_cast<PackedPiece<S>*>(to), packed);
  } else {
    LAIM_UNROLL
    for (int i = 0; i < row_step<S>; ++i)
      if (i < count) store_global(to + i, to_storage<S>(values.value[i]));
  }
}

// Calls body(column, count) for the columns of one row that are this thread's.
template <class S, int threads, class Body>
LAIM_DEVICE void each_piece(int64_t columns, const Body& body) {
  for (int64_t column = int64_t(thread_index()) * row_step<S>; column < columns; column += threads * row_step<S>)
    body(column, int(min<int64_t>(row_step<S>, columns - column)));
}

}  // namespace laim::cuda
