// Two stream machines, the links between them and everything that may happen next: a world small enough to be explored
// whole, and walked at random. Each walk checks what the protocol promises.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <type_traits>
#include <vector>

#include "proxy/link/frame.h"
#include "proxy/link/stream_machine.h"

namespace lanyard {

// How often each thing may happen in one walk.
struct WorldBounds {
  int opener_writes = 2;
  int acceptor_writes = 2;
  int carry_overs = 1;
  int breaks = 0;    // of a link, at any moment
  bool breaks_before_switch = false;  // of a link that the opener has not switched to, and it notices
  int aborts = 0;    // by either side
  int abandons = 0;
  int detaches = 0;  // the opener gives a carry-over up
  bool may_refuse = false;
  size_t pipe_frames = 2;  // on their way in one direction, before the writer must wait
};

// A value: copying it is how an exploration goes back. What it promises, once broken, is told by problem().
class MachineWorld {
 public:
  explicit MachineWorld(const WorldBounds& bounds);

  struct Action {
    enum class Kind : uint8_t {
      kOpen, kAccept, kRefuse, kWrite, kPush, kRead, kEnd, kAbort, kAbandon, kCarry, kLeave, kDetach, kReadAttach,
      kNotice, kBreak,
    };
    Kind kind;
    uint8_t side = 0;     // 0: the opener
    uint8_t carrier = 0;  // kPush, kRead, kNotice: of Carrier; kReadAttach, kBreak: which link
  };
  // What may happen next; nothing: the walk is at its end.
  std::vector<Action> Possible() const;
  void Do(const Action& action);

  // To be called when nothing more is possible.
  void CheckEnd();
  const std::string& problem() const { return problem_; }
  // Equal for worlds that behave alike from here on.
  std::string Key() const;
  static std::string Describe(const Action& action);

  const StreamMachine& machine(size_t side) const { return sides_[side].machine; }
  int carried() const { return carried_; }  // by the opener, to the end
  int carried_after_detach() const { return carried_after_detach_; }

 private:
  struct Wire {
    FrameType type;
    uint8_t number;  // DATA: which; END: how many
  };
  struct Pipe {
    std::vector<Wire> frames;
    bool ended = false;  // after the frames
  };
  struct Line {
    Pipe to[2];          // to[side]: what that side reads
    bool cut = false;    // both directions, at once
    bool attaching = false;  // the acceptor has not read ATTACH
  };
  enum class Done : uint8_t { kNo, kReusable, kRetired, kDead };
  struct Side {
    explicit Side(LinkRole role) : machine(role) {}
    StreamMachine machine;
    int lines[2] = {0, -1};  // by Carrier
    uint8_t sent = 0;
    uint8_t received = 0;
    bool ended = false;
    bool gave_up = false;
    Done done = Done::kNo;
  };

  Line* LineOf(size_t side, Carrier carrier);
  const Line* LineOf(size_t side, Carrier carrier) const;
  bool CanPush(size_t side, Carrier carrier) const;
  bool CanRead(size_t side, Carrier carrier) const;
  void AddSideActions(uint8_t side, std::vector<Action>* out) const;
  void Push(size_t side, Carrier carrier);
  void Write(size_t side);
  void Read(size_t side, Carrier carrier);
  void ReadAttach(size_t line);
  void Settle(size_t side);
  void Leave(size_t side, int line, bool cut);
  void Problem(const std::string& text);

  WorldBounds bounds_;
  std::vector<Line> lines_;
  Side sides_[2];
  bool heard_ = false;  // OPEN has reached the acceptor's link, which makes the acceptor's machine
  int carried_ = 0;
  bool detached_ = false;
  int carried_after_detach_ = 0;
  std::string problem_;
};

}  // namespace lanyard
