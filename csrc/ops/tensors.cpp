#include "ops/tensors.h"

#include <stdexcept>

namespace laim::LAIM_ON {

void require(bool condition, const std::string& message) {
  if (!condition) throw std::runtime_error(message);
}

}  // namespace laim::LAIM_ON
