#include "proxy/link/frame.h"

#include <algorithm>
#include <cstring>

namespace lanyard {
namespace {

bool Printable(absl::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= 0x20 && c <= 0x7e; });
}

std::string Sendable(absl::string_view text) {
  std::string out(text.substr(0, kMaxTextBytes));
  for (char& c : out) {
    if (c < 0x20 || c > 0x7e) c = '?';
  }
  return out;
}

void AppendText(absl::string_view text, std::string* out) {
  const std::string sendable = Sendable(text);
  out->push_back(static_cast<char>(sendable.size()));
  out->append(sendable);
}

void AppendNumber(uint64_t number, int size_bytes, std::string* out) {
  for (int shift = 8 * (size_bytes - 1); shift >= 0; shift -= 8) out->push_back(static_cast<char>(number >> shift));
}

std::string Frame(FrameType type, absl::string_view payload) {
  std::string out;
  AppendHeader(type, payload.size(), &out);
  out.append(payload.data(), payload.size());
  return out;
}

std::string StreamFrame(FrameType type, const AttachRequest& request) {
  std::string payload(request.token.begin(), request.token.end());
  AppendNumber(request.shard, 4, &payload);
  return Frame(type, payload);
}

// Takes from the front; false when there is too little.
bool TakeToken(absl::string_view* from, StreamToken* token) {
  if (from->size() < token->size()) return false;
  std::memcpy(token->data(), from->data(), token->size());
  from->remove_prefix(token->size());
  return true;
}

bool TakeText(absl::string_view* from, std::string* text) {
  if (from->empty()) return false;
  const size_t size = static_cast<uint8_t>(from->front());
  if (from->size() < 1 + size || !Printable(from->substr(1, size))) return false;
  text->assign(from->data() + 1, size);
  from->remove_prefix(1 + size);
  return true;
}

bool TakeNumber(absl::string_view* from, int size_bytes, uint64_t* number) {
  if (from->size() < static_cast<size_t>(size_bytes)) return false;
  *number = 0;
  for (int i = 0; i < size_bytes; ++i) *number = *number << 8 | static_cast<uint8_t>((*from)[static_cast<size_t>(i)]);
  from->remove_prefix(static_cast<size_t>(size_bytes));
  return true;
}

template <typename Reason>
Reason Known(char byte, Reason last) {
  const auto number = static_cast<uint8_t>(byte);
  return number <= static_cast<uint8_t>(last) ? static_cast<Reason>(number) : Reason::kOther;
}

}  // namespace

absl::string_view FrameTypeName(FrameType type) {
  switch (type) {
    case FrameType::kOpen: return "OPEN";
    case FrameType::kAccept: return "ACCEPT";
    case FrameType::kRefuse: return "REFUSE";
    case FrameType::kData: return "DATA";
    case FrameType::kEnd: return "END";
    case FrameType::kReset: return "RESET";
    case FrameType::kSwitch: return "SWITCH";
    case FrameType::kAttach: return "ATTACH";
    case FrameType::kPing: return "PING";
    case FrameType::kPong: return "PONG";
    case FrameType::kGoAway: return "GOAWAY";
    case FrameType::kVouch: return "VOUCH";
  }
  return "unknown";
}

absl::string_view RefuseReasonName(RefuseReason reason) {
  switch (reason) {
    case RefuseReason::kOther: return "other";
    case RefuseReason::kNotAllowed: return "not allowed by policy";
    case RefuseReason::kUnreachable: return "the target is unreachable";
    case RefuseReason::kConnectRefused: return "the target refused the connection";
    case RefuseReason::kTimedOut: return "the target did not answer in time";
    case RefuseReason::kLimit: return "a limit was reached";
    case RefuseReason::kGoingAway: return "going away";
    case RefuseReason::kUnknownStream: return "no such stream";
    case RefuseReason::kWrongIdentity: return "the stream belongs to another identity";
    case RefuseReason::kBusy: return "the stream cannot be carried over now";
    case RefuseReason::kCancelled: return "cancelled by the opener";
  }
  return "other";
}

absl::string_view ResetReasonName(ResetReason reason) {
  switch (reason) {
    case ResetReason::kOther: return "other";
    case ResetReason::kStream: return "reset at the far end";
    case ResetReason::kNotAllowed: return "no longer allowed by policy";
    case ResetReason::kExpired: return "expired";
    case ResetReason::kBanned: return "banned";
    case ResetReason::kDraining: return "draining";
    case ResetReason::kAnswer: return "answer to a reset";
  }
  return "other";
}

absl::string_view GoAwayReasonName(GoAwayReason reason) {
  switch (reason) {
    case GoAwayReason::kOther: return "other";
    case GoAwayReason::kRotated: return "the acceptor's SVID was rotated";
    case GoAwayReason::kDraining: return "draining";
  }
  return "other";
}

void AppendHeader(FrameType type, size_t payload_bytes, std::string* out) {
  out->push_back(static_cast<char>(type));
  AppendNumber(payload_bytes, 3, out);
}

void WriteDataHeader(size_t payload_bytes, uint8_t* out) {
  out[0] = static_cast<uint8_t>(FrameType::kData);
  out[1] = 0;
  out[2] = static_cast<uint8_t>(payload_bytes >> 8);
  out[3] = static_cast<uint8_t>(payload_bytes);
}

std::string EncodeOpen(const OpenRequest& request) {
  std::string payload(request.token.begin(), request.token.end());
  AppendText(request.target, &payload);
  AppendText(request.source, &payload);
  return Frame(FrameType::kOpen, payload);
}

std::string EncodeAccept(uint32_t shard) {
  std::string payload;
  AppendNumber(shard, 4, &payload);
  return Frame(FrameType::kAccept, payload);
}

std::string EncodeRefuse(const Refusal& refusal) {
  std::string payload(1, static_cast<char>(refusal.reason));
  AppendText(refusal.text, &payload);
  return Frame(FrameType::kRefuse, payload);
}

std::string EncodeReset(ResetReason reason) {
  return Frame(FrameType::kReset, std::string(1, static_cast<char>(reason)));
}

std::string EncodeEmpty(FrameType type) { return Frame(type, ""); }

std::string EncodeAttach(const AttachRequest& request) { return StreamFrame(FrameType::kAttach, request); }

std::string EncodeVouch(const AttachRequest& request) { return StreamFrame(FrameType::kVouch, request); }

std::string EncodePing(FrameType type, uint64_t number) {
  std::string payload;
  AppendNumber(number, 8, &payload);
  return Frame(type, payload);
}

std::string EncodeGoAway(GoAwayReason reason) {
  return Frame(FrameType::kGoAway, std::string(1, static_cast<char>(reason)));
}

bool DecodeOpen(absl::string_view payload, OpenRequest* request) {
  return TakeToken(&payload, &request->token) && TakeText(&payload, &request->target) && !request->target.empty() &&
         TakeText(&payload, &request->source) && payload.empty();
}

bool DecodeAccept(absl::string_view payload, uint32_t* shard) {
  uint64_t number = 0;
  if (!TakeNumber(&payload, 4, &number) || !payload.empty()) return false;
  *shard = static_cast<uint32_t>(number);
  return true;
}

bool DecodeRefuse(absl::string_view payload, Refusal* refusal) {
  if (payload.empty()) return false;
  refusal->reason = Known(payload.front(), RefuseReason::kCancelled);
  payload.remove_prefix(1);
  return TakeText(&payload, &refusal->text) && payload.empty();
}

bool DecodeReset(absl::string_view payload, ResetReason* reason) {
  if (payload.size() != 1) return false;
  *reason = Known(payload.front(), ResetReason::kAnswer);
  return true;
}

bool DecodeAttach(absl::string_view payload, AttachRequest* request) {
  uint64_t number = 0;
  if (!TakeToken(&payload, &request->token) || !TakeNumber(&payload, 4, &number) || !payload.empty()) return false;
  request->shard = static_cast<uint32_t>(number);
  return true;
}

bool DecodePing(absl::string_view payload, uint64_t* number) {
  return TakeNumber(&payload, 8, number) && payload.empty();
}

bool DecodeGoAway(absl::string_view payload, GoAwayReason* reason) {
  if (payload.size() != 1) return false;
  *reason = Known(payload.front(), GoAwayReason::kDraining);
  return true;
}

absl::Span<uint8_t> FrameParser::Space() {
  if (complete_ || data_left_ > 0 || !error_.empty()) return {};
  if (filled_ < kFrameHeaderBytes) return absl::MakeSpan(header_).subspan(filled_);
  return {reinterpret_cast<uint8_t*>(payload_.data()) + payload_filled_, payload_.size() - payload_filled_};
}

bool FrameParser::Produced(size_t size_bytes) {
  if (filled_ < kFrameHeaderBytes) {
    filled_ = static_cast<uint8_t>(filled_ + size_bytes);
    return filled_ < kFrameHeaderBytes || HeaderDone();
  }
  payload_filled_ = static_cast<uint16_t>(payload_filled_ + size_bytes);
  complete_ = payload_filled_ == payload_.size();
  return true;
}

bool FrameParser::HeaderDone() {
  const size_t length = static_cast<size_t>(header_[1]) << 16 | static_cast<size_t>(header_[2]) << 8 | header_[3];
  if (header_[0] == 0 || header_[0] > kLastFrameType) {
    error_ = "a frame of unknown type";
    return false;
  }
  if (type() == FrameType::kData) {
    if (length == 0 || length > kMaxDataBytes) {
      error_ = length == 0 ? "DATA without data" : "DATA longer than a record";
      return false;
    }
    data_left_ = static_cast<uint16_t>(length);
    filled_ = 0;  // `type` stays readable
    return true;
  }
  if (length > kMaxControlBytes) {
    error_ = "a control frame that is too long";
    return false;
  }
  payload_.resize(length);
  payload_filled_ = 0;
  complete_ = length == 0;
  return true;
}

void FrameParser::Next() {
  filled_ = 0;
  complete_ = false;
  payload_filled_ = 0;
  std::string().swap(payload_);  // an idle link holds no memory
}

}  // namespace lanyard
