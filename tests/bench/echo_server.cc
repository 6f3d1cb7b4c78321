#include "tests/bench/echo_server.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <memory>
#include <unordered_map>
#include <utility>
#include <vector>

#include "tests/bench/sockets.h"
#include "tests/bench/wire.h"

namespace lanyard::bench {
namespace {

constexpr uint64_t kNoDeadline = ~uint64_t{0};
// Echoed bytes the peer has not taken yet; above it the server stops reading.
constexpr size_t kMaxPendingBytes = 1024 * 1024;

std::vector<char>& Scratch() {
  static std::vector<char> scratch(kChunkBytes);
  return scratch;
}

class Session {
 public:
  explicit Session(Fd fd) : fd_(std::move(fd)) {}

  int fd() const { return fd_.get(); }

  // Moves what can be moved (edge-triggered); false: the connection is over.
  bool Advance() {
    for (;;) {
      if (!Flush()) return false;
      const bool blocked = !pending_.empty() || to_send_ > 0;
      if (blocked && (mode_ != kEcho || pending_.size() >= kMaxPendingBytes)) return true;
      size_t done = 0;
      switch (ReadSome(fd_.get(), Scratch(), done)) {
        case Io::kProgress:
          if (!Take(Scratch().data(), done)) return false;
          break;
        case Io::kWait:
          return true;
        default:
          return false;
      }
    }
  }

 private:
  bool Take(const char* data, size_t size) {
    if (mode_ == 0) {
      mode_ = *data;
      if (mode_ == kFrames) ++data, --size;
    }
    if (mode_ == kEcho) {
      Echo(data, size);
      return true;
    }
    return mode_ == kFrames && TakeFrames(data, size);
  }

  void Echo(const char* data, size_t size) {
    size_t done = 0;
    if (pending_.empty() && WriteSome(fd_.get(), {data, size}, done) == Io::kProgress && done == size) return;
    pending_.append(data + done, size - done);
  }

  bool TakeFrames(const char* data, size_t size) {
    while (size > 0) {
      if (to_take_ > 0) {
        const size_t part = std::min<uint64_t>(to_take_, size);
        data += part, size -= part, to_take_ -= part;
        if (to_take_ == 0) AnswerCount();
        continue;
      }
      frame_.push_back(*data++), --size;
      if (frame_.size() == kFrameBytes && !StartFrame()) return false;
    }
    return true;
  }

  bool StartFrame() {
    const char kind = frame_[0];
    const uint64_t count = GetCount(frame_.data() + 1);
    frame_.clear();
    if (kind == kSource) {
      to_send_ += count;
      return true;
    }
    if (kind != kSink) return false;
    to_take_ = taken_ = count;
    if (count == 0) AnswerCount();
    return true;
  }

  void AnswerCount() {
    char answer[kCountBytes];
    PutCount(answer, taken_);
    pending_.append(answer, kCountBytes);
  }

  bool Flush() {
    size_t done = 0;
    while (!pending_.empty()) {
      const Io io = WriteSome(fd_.get(), pending_, done);
      if (io == Io::kWait) return true;
      if (io != Io::kProgress) return false;
      pending_.erase(0, done);
    }
    while (to_send_ > 0) {
      const Io io = WriteSome(fd_.get(), {Scratch().data(), std::min<uint64_t>(to_send_, kChunkBytes)}, done);
      if (io == Io::kWait) return true;
      if (io != Io::kProgress) return false;
      to_send_ -= done;
    }
    return true;
  }

  Fd fd_;
  char mode_ = 0;
  std::string pending_;
  std::string frame_;
  uint64_t to_take_ = 0;
  uint64_t taken_ = 0;
  uint64_t to_send_ = 0;
};

}  // namespace

void RunEchoServer(const std::string& address) {
  const Fd listener = Listen(ParseAddress(address));
  printf("listening %d\n", LocalPort(listener));
  fflush(stdout);

  // Tags: the two descriptors below, sessions by their own descriptor.
  Poller poller;
  poller.AddReadable(listener.get(), static_cast<uint64_t>(listener.get()));
  poller.AddReadable(STDIN_FILENO, STDIN_FILENO);
  std::unordered_map<int, std::unique_ptr<Session>> sessions;
  for (;;) {
    for (const epoll_event& event : poller.Wait(kNoDeadline)) {
      const int fd = static_cast<int>(event.data.u64);
      if (fd == STDIN_FILENO) {
        char byte;
        if (read(STDIN_FILENO, &byte, 1) <= 0) return;
      } else if (fd == listener.get()) {
        Fd accepted(accept4(fd, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
        if (accepted.get() < 0 && (errno == EAGAIN || errno == ECONNABORTED)) continue;
        if (accepted.get() < 0) Die(std::string("cannot accept: ") + strerror(errno));
        const int accepted_fd = accepted.get();
        sessions[accepted_fd] = std::make_unique<Session>(std::move(accepted));
        poller.Add(accepted_fd, static_cast<uint64_t>(accepted_fd));
      } else if (auto found = sessions.find(fd); found != sessions.end() && !found->second->Advance()) {
        sessions.erase(found);
      }
    }
  }
}

}  // namespace lanyard::bench
