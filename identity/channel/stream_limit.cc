#include "identity/channel/stream_limit.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace lanyard {
namespace {

// RFC 9113 sections 6.1, 6.2, 6.4 to 6.10.
constexpr uint8_t kData = 0, kHeaders = 1, kRstStream = 3, kSettings = 4, kPing = 6, kWindowUpdate = 8,
                  kContinuation = 9;
constexpr uint8_t kEndStream = 1, kAck = 1;

}  // namespace

StreamLimit::~StreamLimit() {
  if (share_ != nullptr) share_->open -= open_.size();
}

bool StreamLimit::Heads::Next(absl::Span<const char>& bytes, Head& head) {
  const size_t skipped = std::min(skip_bytes_, bytes.size());
  skip_bytes_ -= skipped;
  bytes.remove_prefix(skipped);
  const size_t taken = std::min(kSizeBytes - have_bytes_, bytes.size());
  std::copy_n(bytes.begin(), taken, bytes_ + have_bytes_);
  have_bytes_ += taken;
  bytes.remove_prefix(taken);
  if (have_bytes_ < kSizeBytes) return false;
  have_bytes_ = 0;
  const auto* const b = bytes_;
  head.length = uint32_t{b[0]} << 16 | uint32_t{b[1]} << 8 | b[2];
  head.type = b[3];
  head.flags = b[4];
  head.stream = (uint32_t{b[5]} & 0x7f) << 24 | uint32_t{b[6]} << 16 | uint32_t{b[7]} << 8 | b[8];
  skip_bytes_ = head.length;
  return true;
}

bool StreamLimit::Allowance::Take(absl::Duration now) {
  if (left_ < size_) left_ = std::min(size_, left_ + per_second_ * absl::ToDoubleSeconds(now - last_));
  last_ = now;
  if (left_ < 1) return false;
  left_ -= 1;
  return true;
}

void StreamLimit::Allowance::Add(double more, double most) { left_ = std::max(left_, std::min(left_ + more, most)); }

absl::Status StreamLimit::FromClient(absl::Span<const char> bytes, absl::Duration now) {
  Head head;
  while (client_.Next(bytes, head)) {
    if (absl::Status status = Admit(head, now); !status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status StreamLimit::Admit(const Head& head, absl::Duration now) {
  if (head.type != kData && head.length > kMaxFrameBytes) {
    return absl::ResourceExhaustedError(
        absl::StrCat("a frame of ", head.length, " bytes that carries no data; at most ", kMaxFrameBytes));
  }
  switch (head.type) {
    case kData:
      return head.length != 0 ? absl::OkStatus() : AdmitBare(now);
    case kHeaders:
      block_bytes_ = 0;
      block_frames_ = 0;
      if (absl::Status status = AdmitHeaderBlock(head); !status.ok()) return status;
      return head.stream > last_ ? Open(head.stream) : AdmitBare(now);   // trailers are HEADERS, too
    case kContinuation:
      return AdmitHeaderBlock(head);
    case kRstStream:
      return AdmitReset(head, now);
    case kWindowUpdate:
      return absl::OkStatus();
    default:
      return AdmitBare(now);
  }
}

absl::Status StreamLimit::AdmitHeaderBlock(const Head& head) {
  block_bytes_ += head.length;
  ++block_frames_;
  if (block_bytes_ > kMaxHeaderBlockBytes || block_frames_ > kMaxHeaderBlockFrames) {
    return absl::ResourceExhaustedError(absl::StrCat("a header block of more than ", kMaxHeaderBlockBytes,
                                                     " bytes or of more than ", kMaxHeaderBlockFrames, " frames"));
  }
  return absl::OkStatus();
}

absl::Status StreamLimit::AdmitReset(const Head& head, absl::Duration now) {
  const auto found = open_.find(head.stream);
  if (found == open_.end()) return AdmitBare(now);
  const bool answered = found->second;
  Close(head.stream);
  // Who has had the beginning of its answer may well want no more: so a stream of updates is read once.
  if (answered || resets_.Take(now)) return absl::OkStatus();
  return absl::ResourceExhaustedError(absl::StrCat("too many calls that are reset before they are answered: more than ",
                                                   kMaxResets, " at once and ", kResetsPerSecond, " a second"));
}

absl::Status StreamLimit::AdmitBare(absl::Duration now) {
  if (bare_.Take(now)) return absl::OkStatus();
  return absl::ResourceExhaustedError(absl::StrCat("too many frames that carry nothing: more than ", kMaxBareFrames,
                                                   " at once and ", kBareFramesPerSecond, " a second"));
}

void StreamLimit::FromServer(absl::Span<const char> bytes) {
  Head head;
  while (server_.Next(bytes, head)) {
    // What only acknowledges the client's own frames must not pay for more of them.
    const bool acknowledges = (head.type == kSettings || head.type == kPing) && (head.flags & kAck) != 0;
    if (!acknowledges) bare_.Add(kBareFramesForOne, kMaxBareFramesSaved);
    const auto found = open_.find(head.stream);
    if (head.type == kHeaders && found != open_.end()) found->second = true;
    // gRPC keeps no stream that it has ended, whatever the client does.
    const bool ends = (head.type == kData || head.type == kHeaders) && (head.flags & kEndStream) != 0;
    if (ends || head.type == kRstStream) Close(head.stream);
  }
}

absl::Status StreamLimit::Open(uint32_t stream) {
  last_ = stream;
  open_.emplace(stream, false);
  if (share_ != nullptr) ++share_->open;
  bare_.Add(kBareFramesForOne, kMaxBareFramesSaved);
  if (open_.size() > max_open_) {
    return absl::ResourceExhaustedError(absl::StrCat("more than ", max_open_, " calls at once on one connection"));
  }
  if (share_ != nullptr && share_->open > share_->max_open) {
    return absl::ResourceExhaustedError(absl::StrCat("more than ", share_->max_open, " calls at once of one user"));
  }
  return absl::OkStatus();
}

void StreamLimit::Close(uint32_t stream) {
  if (open_.erase(stream) != 0 && share_ != nullptr) --share_->open;
}

}  // namespace lanyard
