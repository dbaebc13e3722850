// Which of the attention kernels takes D channels, and whether their rows can be read by chunks of 16 bytes.
#pragma once
#include "core/kernels.h"

namespace laim::cuda {

template <int channels>
struct Channels {
  static constexpr int value = channels;
};

// body(Channels<n>()) returns nullptr or an error.
template <class Body>
const char* with_channels(int64_t channels, const Body& body) {
  if (channels <= 32) return body(Channels<32>());
  if (channels <= 64) return body(Channels<64>());
  if (channels <= 128) return body(Channels<128>());
  if (channels <= 256) return body(Channels<256>());
  return "attention: more than 256 channels";
}

template <class... Views>
bool rows_by_chunks(int64_t channels, const Views&... views) {
  const auto fits = [](const auto& view) {
    return reinterpret_cast<uintptr_t>(view.data) % 16 == 0 && view.batch % 8 == 0 && view.head % 8 == 0 &&
           view.row % 8 == 0;
  };
  return channels % 8 == 0 && (fits(views) && ...);
}

}  // namespace laim::cuda
