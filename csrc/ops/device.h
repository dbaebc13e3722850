// The device that the ops are compiled for: a class Device, whose functions start the kernels.
#pragma once
#ifdef LAIM_CUDA
#include "ops/cuda_device.h"
#else
#include "ops/cpu_device.h"
#endif

namespace laim::LAIM_ON {

template <class S>
Tensor empty_of(const Device& on, const Shape& shape) {
  return on.empty(shape, scalar_type<S>());
}

}  // namespace laim::LAIM_ON
