#include "proxy/link/stream_machine_world_testing.h"

#include <cstring>

#include "absl/strings/str_cat.h"

namespace lanyard {
namespace {

using Kind = MachineWorld::Action::Kind;
constexpr size_t kOpener = 0, kAcceptor = 1;
constexpr Carrier kCarriers[] = {Carrier::kCurrent, Carrier::kNext};

}  // namespace

MachineWorld::MachineWorld(const WorldBounds& bounds)
    : bounds_(bounds), lines_(1), sides_{Side(LinkRole::kOpener), Side(LinkRole::kAcceptor)} {}

MachineWorld::Line* MachineWorld::LineOf(size_t side, Carrier carrier) {
  const int line = sides_[side].lines[static_cast<size_t>(carrier)];
  return line < 0 ? nullptr : &lines_[static_cast<size_t>(line)];
}

const MachineWorld::Line* MachineWorld::LineOf(size_t side, Carrier carrier) const {
  return const_cast<MachineWorld*>(this)->LineOf(side, carrier);
}

bool MachineWorld::CanRead(size_t side, Carrier carrier) const {
  const Side& own = sides_[side];
  const Line* line = LineOf(side, carrier);
  if (own.done != Done::kNo || line == nullptr) return false;
  const bool wanted = carrier == own.machine.reader() || (carrier == Carrier::kNext && own.machine.awaits_answer());
  return wanted && (line->cut || line->to[side].ended || !line->to[side].frames.empty());
}

bool MachineWorld::CanPush(size_t side, Carrier carrier) const {
  const Side& own = sides_[side];
  const Line* line = LineOf(side, carrier);
  if (own.done != Done::kNo || line == nullptr || !own.machine.NextFrame(carrier)) return false;
  return line->cut || line->to[1 - side].frames.size() < bounds_.pipe_frames;
}

void MachineWorld::AddSideActions(uint8_t side, std::vector<Action>* out) const {
  const Side& own = sides_[side];
  const StreamMachine& machine = own.machine;
  for (const Carrier carrier : kCarriers) {
    if (CanPush(side, carrier)) out->push_back({Kind::kPush, side, static_cast<uint8_t>(carrier)});
    if (CanRead(side, carrier)) out->push_back({Kind::kRead, side, static_cast<uint8_t>(carrier)});
    const Line* line = LineOf(side, carrier);
    if (own.done == Done::kNo && line != nullptr && line->cut) {
      out->push_back({Kind::kNotice, side, static_cast<uint8_t>(carrier)});
    }
  }
  if (own.done != Done::kNo || own.gave_up) return;
  const int writes = side == kOpener ? bounds_.opener_writes : bounds_.acceptor_writes;
  const Line* line = LineOf(side, machine.writer());
  if (machine.may_write() && !machine.NextFrame(machine.writer())) {
    const bool room = line->cut || line->to[1 - side].frames.size() < bounds_.pipe_frames;
    if (own.sent < writes && room) out->push_back({Kind::kWrite, side});
    if (!own.ended) out->push_back({Kind::kEnd, side});
  }
  if (bounds_.aborts > 0) out->push_back({Kind::kAbort, side});
  if (bounds_.abandons > 0) out->push_back({Kind::kAbandon, side});
}

std::vector<MachineWorld::Action> MachineWorld::Possible() const {
  std::vector<Action> out;
  if (!problem_.empty()) return out;
  const StreamMachine& opener = sides_[kOpener].machine;
  const StreamMachine& acceptor = sides_[kAcceptor].machine;
  const bool opener_lives = sides_[kOpener].done == Done::kNo && !sides_[kOpener].gave_up;
  if (opener_lives && !opener.may_write() && !opener.NextFrame(Carrier::kCurrent) && !sides_[kOpener].ended &&
      opener.failure() == StreamMachine::Failure::kNone) {
    out.push_back({Kind::kOpen});
  }
  StreamMachine accepted = acceptor;
  accepted.Accept();
  if (heard_ && sides_[kAcceptor].done == Done::kNo && !acceptor.may_write() && accepted.may_write()) {
    out.push_back({Kind::kAccept, kAcceptor});
    if (bounds_.may_refuse) out.push_back({Kind::kRefuse, kAcceptor});
  }
  AddSideActions(kOpener, &out);
  if (heard_) AddSideActions(kAcceptor, &out);
  if (opener_lives && bounds_.carry_overs > 0 && opener.may_attach()) out.push_back({Kind::kCarry});
  if (sides_[kOpener].done == Done::kNo && opener.awaits_leave()) out.push_back({Kind::kLeave});
  if (opener_lives && bounds_.detaches > 0 && opener.carrying_over()) out.push_back({Kind::kDetach});
  for (uint8_t i = 0; i < lines_.size(); ++i) {
    const Line& line = lines_[i];
    if (line.attaching && (line.cut || line.to[kAcceptor].ended || !line.to[kAcceptor].frames.empty())) {
      out.push_back({Kind::kReadAttach, kAcceptor, i});
    }
    const bool breakable = !bounds_.breaks_before_switch ||
                           (sides_[kOpener].lines[1] == i && opener.writer() == Carrier::kCurrent);
    if (bounds_.breaks > 0 && !line.cut && breakable) out.push_back({Kind::kBreak, 0, i});
  }
  return out;
}

void MachineWorld::Do(const Action& action) {
  Side& side = sides_[action.side];
  const auto carrier = static_cast<Carrier>(action.carrier & 1);
  switch (action.kind) {
    case Kind::kOpen: side.machine.Open(); break;
    case Kind::kAccept: side.machine.Accept(); break;
    case Kind::kRefuse: side.machine.Refuse(); break;
    case Kind::kWrite: return Write(action.side);
    case Kind::kPush: return Push(action.side, carrier);
    case Kind::kRead: return Read(action.side, carrier);
    case Kind::kEnd:
      side.ended = true;
      side.machine.End();
      break;
    case Kind::kAbort:
    case Kind::kAbandon:
      side.gave_up = true;
      --(action.kind == Kind::kAbort ? bounds_.aborts : bounds_.abandons);
      action.kind == Kind::kAbort ? side.machine.Abort() : side.machine.Abandon();
      break;
    case Kind::kCarry:
      --bounds_.carry_overs;
      lines_.emplace_back();
      lines_.back().attaching = true;
      side.lines[1] = static_cast<int>(lines_.size()) - 1;
      side.machine.Attach();
      break;
    case Kind::kLeave: side.machine.Leave(); break;
    case Kind::kDetach:
      --bounds_.detaches;
      detached_ = true;
      side.machine.Detach();
      break;
    case Kind::kReadAttach: return ReadAttach(action.carrier);
    case Kind::kNotice: side.machine.OnLost(carrier); break;
    case Kind::kBreak:
      --bounds_.breaks;
      lines_[action.carrier].cut = true;
      if (!bounds_.breaks_before_switch) return;
      side.machine.OnLost(Carrier::kNext);
      break;
  }
  Settle(action.side);
}

void MachineWorld::Write(size_t side) {
  Side& own = sides_[side];
  const Carrier carrier = own.machine.writer();
  Line* line = LineOf(side, carrier);
  if (line->cut) {
    own.machine.OnLost(carrier);
    return Settle(side);
  }
  line->to[1 - side].frames.push_back({FrameType::kData, own.sent++});
}

void MachineWorld::Push(size_t side, Carrier carrier) {
  Side& own = sides_[side];
  Line* line = LineOf(side, carrier);
  const FrameType type = *own.machine.NextFrame(carrier);
  if (line->cut) {
    own.machine.OnLost(carrier);
  } else {
    if (type == FrameType::kOpen) {
      heard_ = true;
    } else {
      line->to[1 - side].frames.push_back({type, own.sent});
    }
    own.machine.Sent(carrier, type);
  }
  Settle(side);
}

void MachineWorld::Read(size_t side, Carrier carrier) {
  Side& own = sides_[side];
  Line* line = LineOf(side, carrier);
  std::vector<Wire>& frames = line->to[side].frames;
  if (line->cut || frames.empty()) {
    own.machine.OnLost(carrier);
    return Settle(side);
  }
  const Wire frame = frames.front();
  frames.erase(frames.begin());
  const StreamMachine::Verdict verdict = own.machine.OnFrame(carrier, frame.type);
  if (verdict == StreamMachine::Verdict::kIllegal) {
    return Problem(absl::StrCat(FrameTypeName(frame.type), " is illegal at side ", side));
  }
  if (frame.type == FrameType::kData && verdict == StreamMachine::Verdict::kTake) {
    if (own.gave_up) return Problem("bytes for nobody");
    if (frame.number != own.received++) return Problem("bytes are lost, repeated or out of order");
  }
  if (frame.type == FrameType::kEnd && !own.gave_up && own.machine.failure() == StreamMachine::Failure::kNone &&
      frame.number != own.received) {
    return Problem("an end before everything was delivered");
  }
  Settle(side);
}

void MachineWorld::ReadAttach(size_t index) {
  Line& line = lines_[index];
  Side& own = sides_[kAcceptor];
  line.attaching = false;
  if (line.cut || line.to[kAcceptor].frames.empty()) return Leave(kAcceptor, static_cast<int>(index), true);
  line.to[kAcceptor].frames.erase(line.to[kAcceptor].frames.begin());
  if (own.done != Done::kNo || !own.machine.may_attach()) {
    line.to[kOpener].frames.push_back({FrameType::kRefuse, 0});
    return;
  }
  if (own.lines[1] >= 0) Leave(kAcceptor, own.lines[1], true);
  own.lines[1] = static_cast<int>(index);
  own.machine.Attach();
  Settle(kAcceptor);
}

void MachineWorld::Leave(size_t side, int line, bool cut) {
  if (line < 0) return;
  Line& left = lines_[static_cast<size_t>(line)];
  left.cut = left.cut || cut;
  left.to[1 - side].ended = true;
}

void MachineWorld::Settle(size_t side) {
  Side& own = sides_[side];
  if (own.machine.carried()) {
    own.machine.Advance();
    Leave(side, own.lines[0], false);
    own.lines[0] = own.lines[1];
    own.lines[1] = -1;
    if (side == kOpener) {
      ++carried_;
      if (detached_) ++carried_after_detach_;
    }
  }
  if (own.lines[1] >= 0 && (own.machine.next_refused() || own.machine.next_lost())) {
    Leave(side, own.lines[1], own.machine.next_lost());
    own.lines[1] = -1;
    own.machine.NextDropped();
  }
  if (own.machine.flowing() && (!own.machine.may_write() || own.machine.writer() != Carrier::kCurrent ||
                                own.machine.NextFrame(Carrier::kCurrent) || own.machine.NextFrame(Carrier::kNext))) {
    Problem("a stream flows while a frame is due");
  }
  if (!own.machine.over()) return;
  own.done = own.machine.dead() ? Done::kDead : own.machine.reusable() ? Done::kReusable : Done::kRetired;
  if (own.done == Done::kReusable) return;
  Leave(side, own.lines[0], own.machine.dead());
  Leave(side, own.lines[1], own.machine.dead());
}

void MachineWorld::CheckEnd() {
  for (const Side& side : sides_) {
    const StreamMachine& machine = side.machine;
    if (machine.failure() == StreamMachine::Failure::kProtocol) Problem("a protocol error between two right sides");
    if (side.done == Done::kNo && (heard_ || &side == &sides_[kOpener])) {
      Problem("nothing can happen, and the stream is not over");
    }
    const Side& other = sides_[&side == &sides_[kOpener] ? kAcceptor : kOpener];
    if (heard_ && machine.failure() == StreamMachine::Failure::kNone && !side.gave_up && side.received != other.sent) {
      Problem("ended well without everything the other side sent");
    }
  }
  const Side& opener = sides_[kOpener];
  const Side& acceptor = sides_[kAcceptor];
  if (opener.done != Done::kReusable) return;
  const Line& line = lines_[static_cast<size_t>(opener.lines[0])];
  if (line.cut) return;
  if (!line.to[kOpener].frames.empty() || !line.to[kAcceptor].frames.empty()) {
    Problem("frames of the stream are left on a link to be used again");
  }
  if (heard_ && (acceptor.done != Done::kReusable || acceptor.lines[0] != opener.lines[0])) {
    Problem("the opener would use a link again that the acceptor does not");
  }
}

void MachineWorld::Problem(const std::string& text) {
  if (problem_.empty()) problem_ = text;
}

std::string MachineWorld::Key() const {
  static_assert(std::is_trivially_copyable_v<StreamMachine> && alignof(StreamMachine) == 1, "no padding to compare");
  std::string key(1, static_cast<char>(heard_));
  for (const Side& side : sides_) {
    const StreamMachine machine = side.machine;
    key.append(reinterpret_cast<const char*>(&machine), sizeof(machine));
    for (const int number : {side.lines[0], side.lines[1], int{side.sent}, int{side.received}, int{side.ended},
                             int{side.gave_up}, static_cast<int>(side.done)}) {
      key.push_back(static_cast<char>(number));
    }
  }
  for (const Line& line : lines_) {
    key.push_back(static_cast<char>(line.cut | line.attaching << 1 | line.to[0].ended << 2 | line.to[1].ended << 3));
    for (const Pipe& pipe : line.to) {
      key.push_back(static_cast<char>(pipe.frames.size()));
      for (const Wire& frame : pipe.frames) {
        key.append({static_cast<char>(frame.type), static_cast<char>(frame.number)});
      }
    }
  }
  for (const int left : {bounds_.carry_overs, bounds_.breaks, bounds_.aborts, bounds_.abandons, bounds_.detaches}) {
    key.push_back(static_cast<char>(left));
  }
  return key;
}

std::string MachineWorld::Describe(const Action& action) {
  static constexpr const char* kNames[] = {"open",  "accept", "refuse", "write",  "push",       "read", "end",
                                           "abort", "abandon", "carry", "leave", "detach", "readattach", "notice",
                                           "break"};
  return absl::StrCat(kNames[static_cast<size_t>(action.kind)], action.side == 0 ? " o" : " a", action.carrier);
}

}  // namespace lanyard
