#include "cuda/shim/shadow.h"

#include <algorithm>
#include <utility>

namespace laim::shim {
namespace {

// Whether nothing orders the earlier access before this one, when at least one of both writes.
bool races(const Actor& earlier, const Actor& now) {
  if (earlier.block != now.block) return true;
  if (earlier.mbarrier >= 0) return now.observed[earlier.mbarrier] <= earlier.phase;
  if (earlier.thread == now.thread || earlier.block_epoch < now.block_epoch) return false;
  return earlier.warp() != now.warp() || earlier.warp_epoch >= now.warp_epoch;
}

// Who has read, once this access has: `before` where nothing orders the readers before it, widened by the new one.
Readers with_reader(Readers before, const Actor& reader, const Actor& actor, Readers now) {
  if (before == Readers::none) return now;
  if (before == Readers::grid || reader.block != actor.block) return Readers::grid;
  if (reader.block_epoch < actor.block_epoch) return now;
  if (before == Readers::block || reader.warp() != actor.warp()) return Readers::block;
  if (reader.warp_epoch < actor.warp_epoch) return now;
  return before == Readers::warp || reader.thread != actor.thread ? Readers::warp : now;
}

// Whether a write may overtake one of the readers.
bool overtakes(Readers readers, const Actor& reader, const Actor& actor) {
  if (readers == Readers::none) return false;
  if (readers == Readers::grid || races(reader, actor)) return true;
  if (reader.block_epoch < actor.block_epoch) return false;
  return readers == Readers::block || (readers == Readers::warp && reader.warp_epoch >= actor.warp_epoch);
}

const char* copy_name(const Actor& writer) { return writer.mbarrier < 0 ? "cp.async" : "TMA tile"; }

// What a thread wrote is seen by TMA and wgmma only after that thread's fence.proxy.async.
bool unfenced(const Actor& writer, const ProxyFences& fences) {
  return writer.mbarrier < 0 && fences(writer.thread) <= writer.proxy_fences;
}

std::string not_fenced(const Actor& writer) {
  return ": " + writer.name() + " wrote it at " + writer.site.text() + " and no fence.proxy.async of it came after";
}

// Why an access races with what `writer` wrote, with what `reader` read; that a copy has not been waited for.
std::string wrote(const Actor& writer) {
  return "; " + writer.name() + " wrote it at " + writer.site.text() +
         (writer.mbarrier < 0 ? " and no barrier lies between"
                              : " as a TMA tile, and this thread has not waited for its mbarrier");
}
std::string has_read(const Actor& reader) {
  return "; " + reader.name() + " read it at " + reader.site.text() + " and no barrier lies between";
}
std::string not_waited_for(const Actor& writer) {
  return ": the " + std::string(copy_name(writer)) + " that " + writer.name() + " issued at " + writer.site.text() +
         " has not been waited for";
}

}  // namespace

std::string Actor::name() const {
  return "thread " + std::to_string(thread) + " (warp " + std::to_string(warp()) + ", lane " +
         std::to_string(thread % 32) + ") of block " + std::to_string(block);
}

Shadow::Shadow(std::string name, int64_t bytes, bool initialised) : name_(std::move(name)), cells_(size_t(bytes)) {
  for (Cell& cell : cells_) cell.written = initialised;
}

std::string Shadow::place(int64_t offset, int64_t bytes, int64_t at, const Actor& actor) const {
  return " of " + std::to_string(bytes) + " bytes at " + name_ + "+" + std::to_string(offset) + " (byte " +
         std::to_string(at - offset) + ") by " + actor.name();
}

std::string Shadow::read(int64_t offset, int64_t bytes, const Actor& actor, bool whole_warp) {
  const uint32_t id = uint32_t(log_.size());
  log_.push_back(actor);
  for (int64_t i = offset; i < offset + bytes; ++i) {
    Cell& cell = cells_[size_t(i)];
    const Actor& writer = log_[cell.writer];
    const auto place_of = [&] { return place(offset, bytes, i, actor) + (whole_warp ? " for its whole warp" : ""); };
    if (cell.in_flight) return "read" + place_of() + not_waited_for(writer);
    if (!cell.written) return "uninitialised read" + place_of();
    if (cell.writer != 0) {
      Actor receiver = actor;
      if (whole_warp && actor.warp() == writer.warp()) receiver.thread = writer.thread ^ 1;  // some other lane
      if (races(writer, receiver)) return "race: read" + place_of() + wrote(writer);
    }
    cell.readers = with_reader(cell.readers, log_[cell.reader], actor, whole_warp ? Readers::warp : Readers::one);
    cell.reader = id;
  }
  return "";
}

std::string Shadow::write(int64_t offset, int64_t bytes, const Actor& actor, bool in_flight) {
  const uint32_t id = uint32_t(log_.size());
  log_.push_back(actor);
  for (int64_t i = offset; i < offset + bytes; ++i) {
    Cell& cell = cells_[size_t(i)];
    const Actor &writer = log_[cell.writer], &reader = log_[cell.reader];
    const std::string busy = in_use(offset, bytes, i, actor);
    if (!busy.empty()) return busy;
    if (cell.writer != 0 && races(writer, actor)) return "race: write" + place(offset, bytes, i, actor) + wrote(writer);
    if (overtakes(cell.readers, reader, actor))
      return "race: write" + place(offset, bytes, i, actor) + has_read(reader);
    cell = {id, 0, Readers::none, true, in_flight, 0};
  }
  return "";
}

// Why a byte must not be written now, whoever writes it.
std::string Shadow::in_use(int64_t offset, int64_t bytes, int64_t at, const Actor& actor) const {
  const Cell& cell = cells_[size_t(at)];
  const Actor &writer = log_[cell.writer], &reader = log_[cell.reader];
  if (cell.in_flight)
    return "write" + place(offset, bytes, at, actor) + ": the " + copy_name(writer) + " that " + writer.name() +
           " issued at " + writer.site.text() + " is still on its way there";
  if (cell.pins > 0)
    return "write" + place(offset, bytes, at, actor) + ": the wgmma that reads it, issued by " + reader.name() +
           " at " + reader.site.text() + ", has not been waited for";
  return "";
}

std::string Shadow::read_async(int64_t offset, int64_t bytes, const Actor& actor, const ProxyFences& fences) {
  const uint32_t id = uint32_t(log_.size());
  log_.push_back(actor);
  for (int64_t i = offset; i < offset + bytes; ++i) {
    Cell& cell = cells_[size_t(i)];
    const Actor& writer = log_[cell.writer];
    const auto place_of = [&] { return "read by wgmma" + place(offset, bytes, i, actor); };
    if (cell.in_flight) return place_of() + not_waited_for(writer);
    if (!cell.written) return "uninitialised " + place_of();
    if (races(writer, actor)) return "race: " + place_of() + wrote(writer);
    if (unfenced(writer, fences)) return place_of() + not_fenced(writer);
    cell.reader = id;
    ++cell.pins;
  }
  return "";
}

std::string Shadow::write_async(int64_t offset, int64_t bytes, const Actor& actor, const ProxyFences& fences) {
  const uint32_t id = uint32_t(log_.size());
  log_.push_back(actor);
  for (int64_t i = offset; i < offset + bytes; ++i) {
    Cell& cell = cells_[size_t(i)];
    const Actor &writer = log_[cell.writer], &reader = log_[cell.reader];
    const std::string busy = in_use(offset, bytes, i, actor);
    if (!busy.empty()) return busy;
    if (overtakes(cell.readers, reader, actor))
      return "race: write" + place(offset, bytes, i, actor) + has_read(reader);
    if (cell.writer != 0 && writer.mbarrier < 0) {
      if (races(writer, actor)) return "race: write" + place(offset, bytes, i, actor) + wrote(writer);
      if (unfenced(writer, fences)) return "write by TMA" + place(offset, bytes, i, actor) + not_fenced(writer);
    }
    cell = {id, 0, Readers::none, true, true, 0};
  }
  return "";
}

void Shadow::unpin(int64_t offset, int64_t bytes) {
  for (int64_t i = offset; i < offset + bytes; ++i) --cells_[size_t(i)].pins;
}

void Shadow::land(int64_t offset, int64_t bytes, const Actor& actor) {
  const uint32_t id = uint32_t(log_.size());
  log_.push_back(actor);
  for (int64_t i = offset; i < offset + bytes; ++i) {
    cells_[size_t(i)].writer = id;
    cells_[size_t(i)].in_flight = false;
  }
}

void Shadow::begin_launch() {
  for (Cell& cell : cells_) cell = {0, 0, Readers::none, cell.written, false, 0};
  log_.resize(1);
}

void Shadow::begin_block() {
  std::fill(cells_.begin(), cells_.end(), Cell());
  log_.resize(1);
}

}  // namespace laim::shim
