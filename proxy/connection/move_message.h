// What two processes of one proxy say to each other, in an upgrade, of the streams that go from the one before to the
// next. The conversation, of one stream:
//
//   before -> next   OFFER: what there is to know of it. The next one dials its peer and attaches the link there, where
//                    this side opened the stream; else it waits for the peer's ATTACH
//   next -> before   READY: the new link is verified, allowed, and attached, or (where the peer attaches) about to be
//                    NO: why not; the offer is forgotten
//   before -> next   GO: say ACCEPT there (where the peer attaches)
//                    YOURS, with the application's socket: both directions have moved, go on
//                    CANCEL: the stream has ended here, or stays; the link is let go
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "proxy/link/frame.h"

namespace lanyard {

// Texts are printable ASCII.
struct StreamOffer {
  bool opened = false;        // by this side
  StreamToken token{};
  uint32_t shard = 0;         // as ATTACH wants it, if `opened`
  std::string peer_id;        // only this one may go on with it
  std::string listener;       // by name
  std::string source;         // address of who called
  std::string dialled;        // what was dialled
  std::string destination;    // as the listener has it, or as dialled
  std::string remote;         // the far proxy's address, if `opened`; may be empty else
  std::string application_source;  // OPEN's, if not `opened`
  std::string application_target;
};

enum class MoveKind : uint8_t { kOffer, kReady, kNo, kGo, kYours, kCancel };

struct MoveMessage {
  MoveKind kind = MoveKind::kCancel;
  uint64_t id = 0;            // of the offer, as MoveId
  StreamOffer offer = {};     // kOffer
  bool sent_end = false;      // kYours: this direction of the stream has ended
  bool received_end = false;  // kYours: that one, and the application was told
  std::string why = {};       // kNo
};

// An offer is known by its number, and to which worker it belongs in either process: in the one before by its index, in
// the next by the token's first byte, modulo the workers there. So the streams spread evenly however many there are,
// and ATTACH finds those that wait for it.
uint64_t MoveId(uint64_t number, const StreamToken& token, int worker_before);
uint64_t WorkerBefore(uint64_t id);
uint64_t WorkerNext(uint64_t id, uint64_t workers);
uint64_t WorkerNext(const StreamToken& token, uint64_t workers);

// Names begin with a letter, fields follow, one a line. Characters that may not be sent become '?'.
std::string EncodeMove(const MoveMessage& message);
// InvalidArgument: it is not what EncodeMove writes.
absl::StatusOr<MoveMessage> ParseMove(absl::string_view text);

}  // namespace lanyard
