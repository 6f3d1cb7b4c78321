#include "identity/channel/relay.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <utility>

#include "absl/strings/str_cat.h"

namespace lanyard {
namespace {

// After so many steps the other connections have their turn.
constexpr int kStepsPerTurn = 16;

}  // namespace

Relay::Relay(EventLoop& loop, std::unique_ptr<Transport> outer, Descriptor inner,
             std::function<void(const absl::Status&)> on_end, std::unique_ptr<StreamLimit> streams)
    : loop_(loop),
      outer_(std::move(outer)),
      inner_(std::move(inner)),
      on_end_(std::move(on_end)),
      streams_(std::move(streams)) {}

Relay::~Relay() {
  loop_.Cancel(again_);
  loop_.Cancel(linger_);
  loop_.Forget(outer_->fd());
  loop_.Forget(inner_.get());
}

void Relay::Start() {
  // TLS may hold data already that no event will announce; and the caller is not to be called back from in here.
  again_ = loop_.After(absl::ZeroDuration(), [this] { OnReady(0); });
}

void Relay::OnReady(uint32_t) {
  // Whatever was ready: each step finds out for itself, as TLS may write to read and read to write.
  Interest interest;
  for (int step = 0; step < kStepsPerTurn && !ended_; ++step) {
    interest = {};
    bool moved = MoveInward(interest);
    if (!ended_) moved |= MoveOutward(interest);
    if (outward_.sink_closed) ended_ = true;   // gRPC never half-closes: nobody reads what still comes in
    if (ended_) break;
    if (!moved) Watch(interest);
    if (!moved && !ended_) return;
  }
  if (!ended_) {
    loop_.Cancel(again_);
    again_ = loop_.After(absl::ZeroDuration(), [this] { OnReady(0); });
    return;
  }
  auto on_end = std::move(on_end_);
  const absl::Status status = std::move(status_);
  on_end(status);
}

bool Relay::MoveInward(Interest& interest) {
  bool moved = false;
  if (!inward_.source_ended && !inward_.full()) moved = Took(inward_, outer_->Read(RoomIn(inward_)), interest.outer);
  if (!ended_ && !inward_.empty()) {
    moved |= Gave(inward_, WriteSocket(inner_.get(), DataOf(inward_)), interest.inner);
  }
  if (!ended_ && inward_.source_ended && inward_.empty() && !inward_.sink_closed) {
    shutdown(inner_.get(), SHUT_WR);
    inward_.sink_closed = true;
    StartLinger();
  }
  return moved;
}

bool Relay::MoveOutward(Interest& interest) {
  bool moved = false;
  if (!outward_.source_ended && !outward_.full()) {
    moved = Took(outward_, ReadSocket(inner_.get(), RoomIn(outward_)), interest.inner);
  }
  if (!ended_ && !outward_.empty()) moved |= Gave(outward_, outer_->Write(DataOf(outward_)), interest.outer);
  if (!ended_ && outward_.source_ended) {
    StartLinger();
    if (outward_.empty()) {
      outer_->CloseWrite();
      outward_.sink_closed = true;
    }
  }
  return moved;
}

bool Relay::Took(Flow& flow, const IoResult& result, uint32_t& interest) {
  switch (result.state) {
    case IoState::kMoved:
      if (streams_ != nullptr) Count(flow, {flow.buffer.get() + flow.end, result.size_bytes});
      flow.end += result.size_bytes;
      return true;
    case IoState::kNeedsRead:
      interest |= EPOLLIN;
      break;
    case IoState::kNeedsWrite:
      interest |= EPOLLOUT;
      break;
    case IoState::kEnded:
      flow.source_ended = true;
      break;
    case IoState::kFailed:
      Fail(absl::UnavailableError(
          absl::StrCat("reading failed: ", &flow == &inward_ ? outer_->error() : "gRPC's end")));
  }
  if (flow.empty()) flow.buffer.reset();
  return result.state == IoState::kEnded;
}

bool Relay::Gave(Flow& flow, const IoResult& result, uint32_t& interest) {
  switch (result.state) {
    case IoState::kMoved:
      flow.begin += result.size_bytes;
      if (flow.empty()) {
        flow.begin = flow.end = 0;
        flow.buffer.reset();
      }
      return true;
    case IoState::kNeedsRead:
      interest |= EPOLLIN;
      return false;
    case IoState::kNeedsWrite:
      interest |= EPOLLOUT;
      return false;
    default:
      Fail(absl::UnavailableError(
          absl::StrCat("writing failed: ", &flow == &outward_ ? outer_->error() : "gRPC closed its end")));
      return false;
  }
}

absl::Span<char> Relay::RoomIn(Flow& flow) {
  if (flow.buffer == nullptr) flow.buffer.reset(new char[kBufferSizeBytes]);
  return absl::MakeSpan(flow.buffer.get() + flow.end, kBufferSizeBytes - flow.end);
}

absl::Span<const char> Relay::DataOf(const Flow& flow) const {
  return absl::MakeConstSpan(flow.buffer.get() + flow.begin, flow.end - flow.begin);
}

void Relay::Watch(const Interest& interest) {
  if (!WatchOne(outer_->fd(), watched_.outer, interest.outer) ||
      !WatchOne(inner_.get(), watched_.inner, interest.inner)) {
    return Fail(absl::ResourceExhaustedError("the kernel has no room to watch one more connection"));
  }
  watched_ = interest;
}

bool Relay::WatchOne(int fd, uint32_t old_events, uint32_t new_events) {
  if (old_events == new_events) return true;
  // epoll reports a hang-up whether asked or not: who waits for nothing of a socket must not watch it.
  if (new_events == 0) {
    loop_.Forget(fd);
    return true;
  }
  if (old_events == 0) return loop_.Watch(fd, new_events, this);
  loop_.Change(fd, new_events);
  return true;
}

void Relay::Count(const Flow& flow, absl::Span<const char> bytes) {
  if (&flow == &outward_) return streams_->FromServer(bytes);
  if (absl::Status counted = streams_->FromClient(bytes, EventLoop::Now()); !counted.ok()) {
    Fail(std::move(counted));
  }
}

void Relay::Fail(absl::Status status) {
  ended_ = true;
  status_ = std::move(status);
}

void Relay::StartLinger() {
  if (std::exchange(lingering_, true)) return;
  linger_ = loop_.After(kLinger, [this] {
    ended_ = true;
    OnReady(0);
  });
}

}  // namespace lanyard
