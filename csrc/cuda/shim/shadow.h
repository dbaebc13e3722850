// What is known about every byte of simulated memory: who wrote it last, who read it since, whether it was written at
// all, whether an asynchronous copy is still on its way to it.
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "cuda/shim/site.h"

namespace laim::shim {

// Who accesses, and when: block_epoch counts the block's barriers, warp_epoch the warp's.
struct Actor {
  int block = 0;   // linear index in the grid
  int thread = 0;  // in the block
  uint32_t block_epoch = 0, warp_epoch = 0;
  Site site;
  uint32_t proxy_fences = 0;           // that the thread has executed before
  const uint32_t* observed = nullptr;  // of each mbarrier, how many phases the thread knows to be complete
  // A TMA tile's: whoever has observed this phase of this mbarrier comes after it, nobody else does.
  int mbarrier = -1;
  uint32_t phase = 0;

  int warp() const { return thread / 32; }
  std::string name() const;  // "thread 37 (warp 1, lane 5) of block 2"
};

// Which threads have read a byte since its last write and the last barrier that orders them.
enum class Readers : uint8_t { none, one, warp, block, grid };

struct Cell {
  uint32_t writer = 0, reader = 0;  // in the log of actors; 0: nobody in this launch
  Readers readers = Readers::none;
  bool written = false, in_flight = false;
  uint8_t pins = 0;  // wgmmas that may still read it
};
// How many fence.proxy.async a thread has executed.
using ProxyFences = std::function<uint32_t(int thread)>;

class Shadow {
 public:
  Shadow(std::string name, int64_t bytes, bool initialised);

  // Each returns "" or what is wrong with the access. whole_warp: the data go to all lanes (ldmatrix).
  std::string read(int64_t offset, int64_t bytes, const Actor& actor, bool whole_warp = false);
  std::string write(int64_t offset, int64_t bytes, const Actor& actor, bool in_flight = false);
  void land(int64_t offset, int64_t bytes, const Actor& actor);  // an asynchronous copy arrives
  // The same for the asynchronous proxy, which must be told by a fence of what threads wrote. A read pins the bytes.
  std::string read_async(int64_t offset, int64_t bytes, const Actor& actor, const ProxyFences& fences);
  std::string write_async(int64_t offset, int64_t bytes, const Actor& actor, const ProxyFences& fences);
  void unpin(int64_t offset, int64_t bytes);
  void begin_launch();  // whatever came before is ordered before
  void begin_block();   // shared memory: nothing is written yet

  int64_t bytes() const { return int64_t(cells_.size()); }
  const std::string& name() const { return name_; }

 private:
  std::string in_use(int64_t offset, int64_t bytes, int64_t at, const Actor& actor) const;
  std::string place(int64_t offset, int64_t bytes, int64_t at, const Actor& actor) const;
  std::string name_;
  std::vector<Cell> cells_;
  std::vector<Actor> log_ = std::vector<Actor>(1);
};

}  // namespace laim::shim
