#include "proxy/io/fake_stream.h"

#include <sys/socket.h>

#include <algorithm>

namespace lanyard {

std::pair<std::unique_ptr<FakeStream>, std::unique_ptr<FakeStream>> FakeStream::Pair(EventLoop* loop,
                                                                                      size_t capacity_bytes) {
  auto rightward = std::make_shared<Pipe>();
  auto leftward = std::make_shared<Pipe>();
  rightward->capacity_bytes = leftward->capacity_bytes = capacity_bytes;
  return {std::unique_ptr<FakeStream>(new FakeStream(loop, leftward, rightward)),
          std::unique_ptr<FakeStream>(new FakeStream(loop, rightward, leftward))};
}

FakeStream::FakeStream(EventLoop* loop, std::shared_ptr<Pipe> in, std::shared_ptr<Pipe> out)
    : ready_(loop, [this] {
        if (observer_ != nullptr) observer_->OnReady();
      }),
      in_(std::move(in)),
      out_(std::move(out)) {
  in_->reader = this;
  out_->writer = this;
}

FakeStream::~FakeStream() {
  in_->reader = nullptr;
  out_->writer = nullptr;
  in_->reader_gone = true;
  out_->ended = true;
  if (in_->writer != nullptr) in_->writer->Wake();
}

IoResult FakeStream::Fail(StreamError error) {
  error_ = error;
  return {IoStatus::kError};
}

bool FakeStream::WasReset() {
  if (error_ == StreamError::kNone && in_->reset) error_ = StreamError::kReset;
  return error_ != StreamError::kNone;
}

IoResult FakeStream::Open() {
  if (faults_.fail_open != StreamError::kNone) return Fail(faults_.fail_open);
  if (WasReset()) return {IoStatus::kError};
  return {faults_.stall_open ? IoStatus::kWouldBlock : IoStatus::kOk};
}

IoResult FakeStream::Read(absl::Span<uint8_t> into) {
  if (WasReset()) return {IoStatus::kError};
  if (faults_.stall_reads) return {IoStatus::kWouldBlock};
  if (in_->bytes.empty()) return {in_->ended ? IoStatus::kEnd : IoStatus::kWouldBlock};
  const size_t count = std::min({into.size(), in_->bytes.size(), faults_.most_read});
  std::copy_n(in_->bytes.begin(), count, into.begin());
  in_->bytes.erase(0, count);
  if (in_->writer != nullptr) in_->writer->Wake();
  Wake();  // short reads: there is more
  return {IoStatus::kOk, count};
}

IoResult FakeStream::Write(absl::Span<const uint8_t> from) {
  if (WasReset()) return {IoStatus::kError};
  if (out_->reader_gone || out_->ended) return Fail(StreamError::kReset);
  if (faults_.stall_writes) return {IoStatus::kWouldBlock};
  const size_t count = std::min({from.size(), out_->capacity_bytes - out_->bytes.size(), faults_.most_write});
  if (count == 0) return {IoStatus::kWouldBlock};
  out_->bytes.append(from.begin(), from.begin() + static_cast<std::ptrdiff_t>(count));
  if (out_->reader != nullptr) out_->reader->Wake();
  if (count < from.size()) Wake();
  return {IoStatus::kOk, count};
}

IoResult FakeStream::Flush() { return {WasReset() ? IoStatus::kError : IoStatus::kOk}; }

IoResult FakeStream::ShutdownWrite() {
  if (WasReset()) return {IoStatus::kError};
  out_->ended = true;
  if (out_->reader != nullptr) out_->reader->Wake();
  return {IoStatus::kOk};
}

UniqueFd FakeStream::ReleaseFd() {
  return faults_.has_descriptor ? UniqueFd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) : UniqueFd();
}

void FakeStream::Reset() {
  out_->reset = true;
  in_->reader_gone = true;
  if (error_ == StreamError::kNone) error_ = StreamError::kOther;
  if (out_->reader != nullptr) out_->reader->Wake();
}

}  // namespace lanyard
