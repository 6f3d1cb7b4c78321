// A machine whose peer does as it likes: whatever comes in whatever order, what is over stays over, nothing is taken
// after an end, and nothing is asked for that may not be sent.
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <utility>

#include "proxy/link/stream_machine.h"

namespace lanyard {
namespace {

void Check(bool right) {
  if (!right) abort();
}

class Play {
 public:
  explicit Play(LinkRole role) : role_(role), machine_(role) {}

  void Step(uint8_t byte) {
    const bool was_over = machine_.over(), was_dead = machine_.dead(), had_ended = !machine_.receiving_open();
    const auto failure = machine_.failure();
    const auto carrier = static_cast<Carrier>(byte >> 7);
    const uint8_t what = byte & 0x7f;
    if (what <= kLastFrameType) {
      const StreamMachine::Verdict verdict = machine_.OnFrame(carrier, static_cast<FrameType>(what));
      if (what == static_cast<uint8_t>(FrameType::kData) && verdict == StreamMachine::Verdict::kTake) {
        Check(!had_ended || (carrier == Carrier::kNext && machine_.next_lost()));
      }
      Check(verdict != StreamMachine::Verdict::kIllegal || machine_.dead());
    } else {
      Wish(what, carrier);
    }
    if (was_dead) Check(machine_.dead());
    if (was_over) Check(machine_.over());
    if (failure != StreamMachine::Failure::kNone) Check(machine_.failure() == failure);
    Settle();
  }

 private:
  void Wish(uint8_t what, Carrier carrier) {
    switch (what - kLastFrameType) {
      case 1: return machine_.Open();
      case 2: return machine_.Accept();
      case 3: return machine_.Refuse();
      case 4: return machine_.End();
      case 5: return machine_.Abort();
      case 6: return machine_.Abandon();
      case 7: return machine_.Attach();
      case 8: return machine_.Detach();
      case 9: return machine_.OnLost(carrier);
      case 10: return machine_.Leave();
      default: return Send(carrier);
    }
  }

  void Send(Carrier carrier) {
    const std::optional<FrameType> type = machine_.NextFrame(carrier);
    if (!type.has_value()) return;
    Check(!machine_.dead());
    const bool closing = *type == FrameType::kEnd || *type == FrameType::kReset ||
                         (*type == FrameType::kRefuse && role_ == LinkRole::kAcceptor);
    if (closing) Check(!std::exchange(closed_, true));
    if (role_ == LinkRole::kAcceptor) Check(*type != FrameType::kOpen && *type != FrameType::kAttach);
    if (role_ == LinkRole::kOpener) Check(*type != FrameType::kAccept && *type != FrameType::kRefuse);
    machine_.Sent(carrier, *type);
    if (closing) Check(!machine_.may_write());
  }

  void Settle() {
    if (machine_.carried()) machine_.Advance();
    if (machine_.next_refused() || machine_.next_lost()) machine_.NextDropped();
    if (machine_.dead()) {
      Check(!machine_.NextFrame(Carrier::kCurrent) && !machine_.NextFrame(Carrier::kNext) && !machine_.may_write());
    }
    if (machine_.reusable()) Check(!machine_.NextFrame(Carrier::kCurrent) && !machine_.carrying_over());
    if (machine_.may_attach()) Check(machine_.answered() && !machine_.over());
  }

  LinkRole role_;
  StreamMachine machine_;
  bool closed_ = false;
};

}  // namespace
}  // namespace lanyard

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  for (const lanyard::LinkRole role : {lanyard::LinkRole::kOpener, lanyard::LinkRole::kAcceptor}) {
    lanyard::Play play(role);
    for (size_t i = 0; i < size; ++i) play.Step(data[i]);
  }
  return 0;
}
