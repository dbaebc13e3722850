// The place in the source that an access or a barrier comes from. As a default argument it is the caller's place.
#pragma once
#include <cstring>
#include <string>

namespace laim::shim {

struct Site {
  const char* file;
  int line;
  constexpr Site(const char* file_ = __builtin_FILE(), int line_ = __builtin_LINE()) : file(file_), line(line_) {}

  bool operator==(const Site& other) const {
    return line == other.line && (file == other.file || std::strcmp(file, other.file) == 0);
  }
  std::string text() const {  // csrc/cuda/sm80/gemm.cuh:88
    const std::string path = file;
    const size_t at = path.rfind("csrc/");
    return (at == std::string::npos ? path : path.substr(at)) + ":" + std::to_string(line);
  }
};

}  // namespace laim::shim
