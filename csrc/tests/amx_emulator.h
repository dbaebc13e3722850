#pragma once

namespace laim::test {

// From now on the instructions of AMX do on this processor, which lacks them, what core/tiles.h says. One that the
// kernels do not use, or a tile used without a configuration, ends the program.
void emulate_amx();

}  // namespace laim::test
