// What tests of the shim are made of: small kernels that it must find wrong, or must not.
#pragma once
#include "tests/cuda/device.h"

namespace laim::test {

struct Block {
  int threads = 64, blocks = 1;
  int64_t shared_bytes = 1024;
};

// The body must be found wrong, with all of the words in the message and the test as the place.
template <class Body>
void finds(const std::string& what, const std::vector<std::string>& words, const Body& body, const Block& block = {}) {
  const std::string found = shim::launch({block.blocks, 1, 1}, block.threads, block.shared_bytes, body);
  bool all = found.find("shim_test.cpp:") != std::string::npos;
  for (const auto& word : words) all = all && found.find(word) != std::string::npos;
  check(all, what + ": the shim said '" + found + "'");
}
template <class Body>
void accepts(const std::string& what, const Body& body, const Block& block = {}) {
  const std::string found = shim::launch({block.blocks, 1, 1}, block.threads, block.shared_bytes, body);
  check(found.empty(), what + ": " + found);
}

}  // namespace laim::test
