// A stack of its own for every simulated thread, and the switch between stacks.
#pragma once
#include <cstddef>

namespace laim::shim {

class Fiber {
 public:
  Fiber();
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  // Makes the fiber start anew at entry(argument) when next resumed; what it was doing before is forgotten.
  // entry must not return: it ends with a suspend() that nobody follows with a resume().
  void start(void (*entry)(void*), void* argument);
  void resume();   // from the scheduler: run until the fiber suspends
  void suspend();  // from the fiber: back to the scheduler

 private:
  struct Context;
  static void begin();
  void* stack_;
  Context* context_;
  void (*entry_)(void*);
  void* argument_;
};

}  // namespace laim::shim
