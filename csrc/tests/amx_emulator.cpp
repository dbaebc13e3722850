// The instructions of AMX where the processor has none: it raises a signal at each, whose handler decodes it, does what
// core/tiles.h says and goes on behind it. So the compiled kernels themselves are run and not only their twins.
// Encodings: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2.
#include "tests/amx_emulator.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ucontext.h>
#include <unistd.h>

#include "core/tiles.h"

namespace laim::test {
namespace {

struct Thread {
  bool configured = false;
  TileFile tiles;
};
thread_local Thread thread;

struct Config {
  uint8_t palette, start_row, reserved[14];
  uint16_t row_bytes[16];
  uint8_t rows[16];
};

[[noreturn]] void refuse(const char* why) {
  fprintf(stderr, "emulated AMX: %s\n", why);
  _exit(1);
}

int64_t register_of(const mcontext_t& machine, int number) {
  constexpr int order[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                             REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};
  return machine.gregs[order[number]];
}

struct Operands {
  int mod, reg, rm;
  int64_t address;    // without the index, which the tile instructions take as a stride
  int64_t index = 0;  // register's value times its scale
  const uint8_t* end;
};

// ModRM, SIB and displacement; extended: the upper bits of rm (or base) and index.
Operands operands_at(const uint8_t* at, const mcontext_t& machine, int extended_rm, int extended_index) {
  Operands found = {at[0] >> 6, at[0] >> 3 & 7, at[0] & 7, 0, 0, at + 1};
  if (found.mod == 3) return found;
  int base = found.rm;
  bool has_base = true;
  if (found.rm == 4) {
    const int sib = *found.end++, index = (sib >> 3 & 7) | extended_index;
    base = sib & 7;
    if (index != 4) found.index = register_of(machine, index) << (sib >> 6);
  }
  int displacement_size = found.mod == 1 ? 1 : found.mod == 2 ? 4 : 0;
  const bool relative = found.mod == 0 && found.rm == 5;  // to the next instruction
  if (found.mod == 0 && base == 5) has_base = false, displacement_size = 4;
  if (displacement_size == 1) {
    int8_t near;
    memcpy(&near, found.end, 1);
    found.address = near;
  } else if (displacement_size == 4) {
    int32_t far;
    memcpy(&far, found.end, 4);
    found.address = far;
  }
  found.end += displacement_size;
  if (has_base) found.address += register_of(machine, base | extended_rm);
  if (relative) found.address += reinterpret_cast<int64_t>(found.end);
  return found;
}

void configure(const Config& config) {
  bool whole = config.palette == 1 && config.start_row == 0;
  for (int t = 0; t < TileFile::tiles; ++t) whole = whole && config.row_bytes[t] == 64 && config.rows[t] == 16;
  if (!whole) refuse("another configuration than eight whole tiles");
  thread.configured = true;
  memset(&thread.tiles, 0, sizeof(thread.tiles));
}

void handler(int, siginfo_t*, void* context) {
  mcontext_t& machine = static_cast<ucontext_t*>(context)->uc_mcontext;
  const auto* at = reinterpret_cast<const uint8_t*>(machine.gregs[REG_RIP]);
  const bool vex = at[0] == 0xc4 && (at[1] & 0x1f) == 2 && (at[2] & 0x84) == 0;
  if (!vex) refuse("an illegal instruction that is none of AMX");
  const int opcode = at[3], prefix = at[2] & 3, third = (~at[2] >> 3) & 15;
  const Operands o = operands_at(at + 4, machine, at[1] & 0x20 ? 0 : 8, at[1] & 0x40 ? 0 : 8);
  enum { none, p66, pf3, pf2 };
  if (opcode == 0x49 && prefix == none && o.mod != 3) {  // ldtilecfg
    configure(*reinterpret_cast<const Config*>(o.address));
  } else if (!thread.configured) {
    refuse("a tile is used without a configuration");
  } else if (opcode == 0x49 && prefix == none) {  // tilerelease
    thread.configured = false;
  } else if (opcode == 0x49 && prefix == pf2 && o.mod == 3) {  // tilezero
    thread.tiles.zero(o.reg);
  } else if (opcode == 0x4b && prefix == pf2 && o.rm == 4) {  // tileloadd
    thread.tiles.load(o.reg, reinterpret_cast<const void*>(o.address), o.index);
  } else if (opcode == 0x4b && prefix == pf3 && o.rm == 4) {  // tilestored
    thread.tiles.store(o.reg, reinterpret_cast<void*>(o.address), o.index);
  } else if (opcode == 0x5c && prefix == pf3 && o.mod == 3) {  // tdpbf16ps
    thread.tiles.dot(o.reg, o.rm, third);
  } else {
    refuse("an instruction that the kernels do not use");
  }
  machine.gregs[REG_RIP] = reinterpret_cast<greg_t>(o.end);
}

}  // namespace

void emulate_amx() {
  struct sigaction action = {};
  action.sa_sigaction = handler;
  action.sa_flags = SA_SIGINFO | SA_NODEFER;
  sigaction(SIGILL, &action, nullptr);
}

}  // namespace laim::test
