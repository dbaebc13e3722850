// Rows of 16-bit elements in global memory: each thread takes eight neighbouring columns at a time.
#pragma once
#include "cuda/ptx.cuh"

namespace laim::cuda {

constexpr int row_step = 8;

struct Eight {
  float value[row_step];
};

// `by_chunks`: all rows begin at multiples of 16 bytes, and `count` is 8. Else element by element, zeros from `count`
// on.
template <class S>
LAIM_DEVICE Eight load_eight(const S* from, int count, bool by_chunks) {
  Eight out;
  if (by_chunks) {
    const Chunk chunk = load_global(reinterpret_cast<const Chunk*>(from));
    LAIM_UNROLL
    for (int i = 0; i < row_step / 2; ++i) {
      const Pair pair = unpack<S>(chunk.word[i]);
      out.value[2 * i] = pair.first;
      out.value[2 * i + 1] = pair.second;
    }
  } else {
    LAIM_UNROLL
    for (int i = 0; i < row_step; ++i) out.value[i] = i < count ? to_float(load_global(from + i)) : 0.0f;
  }
  return out;
}

template <class S>
LAIM_DEVICE void store_eight(S* to, const Eight& values, int count, bool by_chunks) {
  if (by_chunks) {
    Chunk chunk;
    LAIM_UNROLL
    for (int i = 0; i < row_step / 2; ++i) chunk.word[i] = pack<S>(values.value[2 * i], values.value[2 * i + 1]);
    store_global(reinterpret_cast<Chunk*>(to), chunk);
  } else {
    LAIM_UNROLL
    for (int i = 0; i < row_step; ++i)
      if (i < count) store_global(to + i, to_storage<S>(values.value[i]));
  }
}

// Calls body(column, count) for the columns of one row that are this thread's.
template <int threads, class Body>
LAIM_DEVICE void each_eight(int64_t columns, const Body& body) {
  for (int64_t column = int64_t(thread_index()) * row_step; column < columns; column += threads * row_step)
    body(column, int(min<int64_t>(row_step, columns - column)));
}

}  // namespace laim::cuda
