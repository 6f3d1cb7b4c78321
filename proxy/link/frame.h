// The frames of "lanyard/1", the mesh protocol between two Lanyard proxies: what travels inside the TLS records of a
// link. The grammar, and why it is so, is in proxy/README.md.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace lanyard {

// The name by which both sides agree on the protocol (RFC 7301). What changes the grammar changes the name.
inline constexpr absl::string_view kLinkAlpn = "lanyard/1";

// A frame is one byte of type, three of payload length (big-endian), and the payload.
inline constexpr size_t kFrameHeaderBytes = 4;
// With its header exactly one full TLS record.
inline constexpr size_t kMaxDataBytes = 16380;
inline constexpr size_t kMaxControlBytes = 1024;
inline constexpr size_t kMaxTextBytes = 255;

enum class FrameType : uint8_t {
  kOpen = 1,     // opener: carry a stream
  kAccept = 2,   // acceptor: answer to OPEN, ATTACH or VOUCH
  kRefuse = 3,   // acceptor: likewise
  kData = 4,
  kEnd = 5,      // this direction ends well
  kReset = 6,    // this direction ends badly
  kSwitch = 7,   // this direction goes on over the attached link; the last frame of its kind here
  kAttach = 8,   // opener: this link is to carry on a stream that another one carries now
  kPing = 9,
  kPong = 10,
  kGoAway = 11,  // acceptor: open no more, and carry over what is open
  kVouch = 12,   // opener: this link proves anew who carries a stream on another one
};
inline constexpr uint8_t kLastFrameType = 12;
absl::string_view FrameTypeName(FrameType type);

// Reasons are for logs and decisions, never for the state: a number not known here reads as kOther.
enum class RefuseReason : uint8_t {
  kOther = 0,
  kNotAllowed = 1,      // by policy
  kUnreachable = 2,     // the target
  kConnectRefused = 3,  // by the target
  kTimedOut = 4,        // reaching the target
  kLimit = 5,
  kGoingAway = 6,
  kUnknownStream = 7,   // ATTACH, VOUCH: no such token here
  kWrongIdentity = 8,   // ATTACH, VOUCH: the stream is another peer's
  kBusy = 9,            // ATTACH: the stream cannot be carried over now
  kCancelled = 10,      // the opener gave up first
};
enum class ResetReason : uint8_t {
  kOther = 0,
  kStream = 1,       // what the stream carries was reset at this end
  kNotAllowed = 2,   // no longer, by policy
  kExpired = 3,      // an SVID, or a deadline
  kBanned = 4,
  kDraining = 5,
  kAnswer = 6,       // to the other side's RESET or REFUSE
};
enum class GoAwayReason : uint8_t {
  kOther = 0,
  kRotated = 1,   // the acceptor has a newer SVID
  kDraining = 2,
};
absl::string_view RefuseReasonName(RefuseReason reason);
absl::string_view ResetReasonName(ResetReason reason);
absl::string_view GoAwayReasonName(GoAwayReason reason);

// Names one stream between its two proxies: 128 random bits of the opener's, known to nobody else.
using StreamToken = std::array<uint8_t, 16>;

struct OpenRequest {
  StreamToken token;
  std::string target;  // where the caller meant to go, "10.0.0.7:8080"; printable ASCII, 1 to 255 bytes
  std::string source;  // who called, likewise; may be empty
};
// Of ATTACH and VOUCH.
struct AttachRequest {
  StreamToken token;
  uint32_t shard;      // as the acceptor gave it in ACCEPT
};
struct Refusal {
  RefuseReason reason;
  std::string text;    // printable ASCII, at most 255 bytes; for the log
};

// Frames as bytes. Texts that are too long are cut, and characters that may not be sent become '?'.
void AppendHeader(FrameType type, size_t payload_bytes, std::string* out);
std::string EncodeOpen(const OpenRequest& request);
std::string EncodeAccept(uint32_t shard);
std::string EncodeRefuse(const Refusal& refusal);
std::string EncodeReset(ResetReason reason);
std::string EncodeEmpty(FrameType type);  // END, SWITCH
std::string EncodeAttach(const AttachRequest& request);
std::string EncodeVouch(const AttachRequest& request);
std::string EncodePing(FrameType type, uint64_t number);  // PING, PONG
std::string EncodeGoAway(GoAwayReason reason);
// Writes the header of a DATA frame of 1 to kMaxDataBytes.
void WriteDataHeader(size_t payload_bytes, uint8_t* out);

// Payloads; false when malformed.
bool DecodeOpen(absl::string_view payload, OpenRequest* request);
bool DecodeAccept(absl::string_view payload, uint32_t* shard);
bool DecodeRefuse(absl::string_view payload, Refusal* refusal);
bool DecodeReset(absl::string_view payload, ResetReason* reason);
bool DecodeAttach(absl::string_view payload, AttachRequest* request);  // of VOUCH too
bool DecodePing(absl::string_view payload, uint64_t* number);
bool DecodeGoAway(absl::string_view payload, GoAwayReason* reason);

// Cuts a stream of bytes into frames, asking for exactly what it needs next, so that nothing is read that belongs to
// whoever reads after. The payload of DATA does not pass through it. Holds memory only within a control frame.
//
//   while (parser.data_left() == 0 && !parser.complete()) fill some of parser.Space(), then parser.Produced(n);
//
// then either take data_left() bytes of payload, telling Consumed, or look at type() and payload() and call Next.
class FrameParser {
 public:
  // Where the next bytes go, at most as many; empty at a complete frame or within DATA.
  absl::Span<uint8_t> Space();
  // False: what came is not the protocol; error() says why, and nothing more may be asked.
  bool Produced(size_t size_bytes);

  size_t data_left() const { return data_left_; }
  void Consumed(size_t size_bytes) { data_left_ -= size_bytes; }

  bool complete() const { return complete_; }  // a control frame
  FrameType type() const { return static_cast<FrameType>(header_[0]); }
  absl::string_view payload() const { return payload_; }
  void Next();

  // Between two frames, with nothing of the next one seen.
  bool at_boundary() const { return filled_ == 0 && data_left_ == 0 && !complete_; }
  absl::string_view error() const { return error_; }

 private:
  bool HeaderDone();

  std::array<uint8_t, kFrameHeaderBytes> header_{};
  uint8_t filled_ = 0;        // of the header
  bool complete_ = false;
  uint16_t data_left_ = 0;
  uint16_t payload_filled_ = 0;
  std::string payload_;
  absl::string_view error_;   // a literal
};

}  // namespace lanyard
