// Threads are torch's: csrc/ops hands down a way to run tasks on its pool, kernels never start their own.
#pragma once
#include "core/common.h"

namespace laim {

struct Parallel {
  int threads;
  // Calls body(context, task) once for each task in [0, tasks), in any order, on up to `threads` threads.
  void (*run)(int64_t tasks, void (*body)(void* context, int64_t task), void* context);

  template <class Body>
  LAIM_INLINE void for_each(int64_t tasks, const Body& body) const {
    struct Call {
      static void one(void* context, int64_t task) { (*static_cast<const Body*>(context))(task); }
    };
    run(tasks, &Call::one, const_cast<Body*>(&body));
  }
};

}  // namespace laim
