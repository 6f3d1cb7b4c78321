#include "identity/channel/stream_limit.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace lanyard {
namespace {

// RFC 9113 sections 6.1, 6.2 and 6.4.
constexpr uint8_t kData = 0, kHeaders = 1, kRstStream = 3;
constexpr uint8_t kEndStream = 1;

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

absl::Status StreamLimit::FromClient(absl::Span<const char> bytes) {
  Head head;
  while (client_.Next(bytes, head)) {
    if (head.type == kRstStream) Close(head.stream);
    if (head.type != kHeaders || head.stream <= last_) continue;   // trailers are HEADERS, too
    last_ = head.stream;
    Open(head.stream);
    if (open_.size() > max_open_) {
      return absl::ResourceExhaustedError(absl::StrCat("more than ", max_open_, " calls at once on one connection"));
    }
    if (share_ != nullptr && share_->open > share_->max_open) {
      return absl::ResourceExhaustedError(absl::StrCat("more than ", share_->max_open, " calls at once of one user"));
    }
  }
  return absl::OkStatus();
}

void StreamLimit::FromServer(absl::Span<const char> bytes) {
  Head head;
  while (server_.Next(bytes, head)) {
    // gRPC keeps no stream that it has ended, whatever the client does.
    const bool ends = (head.type == kData || head.type == kHeaders) && (head.flags & kEndStream) != 0;
    if (ends || head.type == kRstStream) Close(head.stream);
  }
}

void StreamLimit::Open(uint32_t stream) {
  open_.insert(stream);
  if (share_ != nullptr) ++share_->open;
}

void StreamLimit::Close(uint32_t stream) {
  if (open_.erase(stream) != 0 && share_ != nullptr) --share_->open;
}

}  // namespace lanyard
