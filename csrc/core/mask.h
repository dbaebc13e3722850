// Which keys a query may see. Every mask of ops.attention (causal, window, key lengths) is one interval of
// keys per query, and both ends never decrease from a query to the next; the kernels rest on that.
#pragma once
#include "core/common.h"

namespace laim {

struct Interval {
  int64_t begin, end;  // keys begin <= key < end; empty when end <= begin
};

struct Mask {
  int64_t queries, keys;  // Sq, Skv
  int64_t key_length;     // keys from here on are padding
  int64_t window;         // keys at distance < window are seen; < 0: no window
  bool causal;            // aligned to the bottom right: the last query sees the last key

  LAIM_INLINE Interval visible(int64_t query) const {
    const int64_t position = query + keys - queries;
    int64_t begin = 0, end = key_length;
    if (causal) end = min(end, position + 1);
    if (window >= 0) {
      begin = max(begin, position - window + 1);
      end = min(end, position + window);
    }
    end = max(end, int64_t(0));
    return {min(begin, end), end};
  }

  // The keys that at least one of the queries [first, last] sees (a superset: one interval).
  LAIM_INLINE Interval visible_to_any(int64_t first, int64_t last) const {
    return {visible(first).begin, visible(last).end};
  }

  // The queries that see at least one of the keys [first, last] (a superset: one interval; exact for one key).
  LAIM_INLINE Interval seeing_any(int64_t first, int64_t last) const {
    const int64_t position0 = keys - queries;
    int64_t begin = 0, end = first < key_length ? queries : 0;
    if (causal) begin = max(begin, first - position0);
    if (window >= 0) {
      begin = max(begin, first - window + 1 - position0);
      end = min(end, last + window - position0);
    }
    end = max(end, int64_t(0));
    return {min(begin, end), end};
  }
};

}  // namespace laim
