#include "cuda/shim/fiber.h"

#include <cstdint>
#include <cstdlib>
#include <new>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#ifndef __x86_64__
#include <ucontext.h>
#endif

// swapcontext makes a system call per switch; a kernel of 128 threads switches some 30 times per matrix instruction.
#ifdef __x86_64__
extern "C" void laim_switch_stack(void** save, void* next);
asm(R"(
.text
.globl laim_switch_stack
.type laim_switch_stack, @function
laim_switch_stack:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size laim_switch_stack, .-laim_switch_stack
)");
#endif

namespace laim::shim {
namespace {

constexpr size_t stack_bytes = 256 * 1024;
Fiber* starting = nullptr;  // whose entry the fresh stack must call

}  // namespace

struct Fiber::Context {
#ifdef __x86_64__
  void *own, *scheduler;
#else
  ucontext_t own, scheduler;
#endif
  // for AddressSanitizer: where the scheduler's stack lies
  const void* scheduler_bottom = nullptr;
  size_t scheduler_size = 0;
};

namespace {

void leave([[maybe_unused]] const void* bottom, [[maybe_unused]] size_t size) {
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_start_switch_fiber(nullptr, bottom, size);
#endif
}
void arrive([[maybe_unused]] const void** bottom, [[maybe_unused]] size_t* size) {
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_finish_switch_fiber(nullptr, bottom, size);
#endif
}

}  // namespace

Fiber::Fiber() : stack_(std::aligned_alloc(64, stack_bytes)), context_(new Context) {
  if (stack_ == nullptr) throw std::bad_alloc();
}

Fiber::~Fiber() {
  std::free(stack_);
  delete context_;
}

void Fiber::begin() {
  Fiber* self = starting;
  arrive(&self->context_->scheduler_bottom, &self->context_->scheduler_size);
  self->entry_(self->argument_);
  std::abort();
}

void Fiber::start(void (*entry)(void*), void* argument) {
  entry_ = entry;
  argument_ = argument;
#ifdef __SANITIZE_ADDRESS__
  __asan_unpoison_memory_region(stack_, stack_bytes);  // frames that were never left
#endif
#ifdef __x86_64__
  // as after a call of begin(): six saved registers, the address to return into, and a stack off by 8 from 16
  auto* top = reinterpret_cast<uintptr_t*>(static_cast<char*>(stack_) + stack_bytes) - 1;
  *--top = reinterpret_cast<uintptr_t>(&Fiber::begin);
  for (int i = 0; i < 6; ++i) *--top = 0;
  context_->own = top;
#else
  getcontext(&context_->own);
  context_->own.uc_stack.ss_sp = stack_;
  context_->own.uc_stack.ss_size = stack_bytes;
  context_->own.uc_link = nullptr;
  makecontext(&context_->own, &Fiber::begin, 0);
#endif
}

void Fiber::resume() {
  starting = this;
  leave(stack_, stack_bytes);
#ifdef __x86_64__
  laim_switch_stack(&context_->scheduler, context_->own);
#else
  swapcontext(&context_->scheduler, &context_->own);
#endif
  arrive(nullptr, nullptr);
}

void Fiber::suspend() {
  leave(context_->scheduler_bottom, context_->scheduler_size);
#ifdef __x86_64__
  laim_switch_stack(&context_->own, context_->scheduler);
#else
  swapcontext(&context_->own, &context_->scheduler);
#endif
  arrive(&context_->scheduler_bottom, &context_->scheduler_size);
}

}  // namespace laim::shim
