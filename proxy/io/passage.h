// A local connection between two processes of this machine that keeps messages apart and passes descriptors along.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "proxy/io/unique_fd.h"

namespace lanyard {

// The kernel's number of the socket behind a descriptor, the same for each of several descriptors of one socket, in
// whatever process. 0: there is none.
uint64_t SocketCookie(int fd);

// One end of it. Blocks; for one thread.
class Passage {
 public:
  static constexpr size_t kMaxMessageBytes = 4096;
  // For a message to be taken.
  static constexpr absl::Duration kSendTimeout = absl::Seconds(10);

  struct Message {
    std::string text;
    UniqueFd fd;  // invalid: none came with it, or this process has no number free for it
  };

  static absl::StatusOr<std::pair<Passage, Passage>> Pair();
  // An end that was inherited. What is no such thing fails when it is used.
  explicit Passage(UniqueFd fd);

  // `text` is not empty; the other end gets a descriptor of its own for `fd` (-1: none). Unavailable: nobody is there.
  absl::Status Send(absl::string_view text, int fd = -1);
  // Likewise, but does not wait. ResourceExhausted: not now, be it that the other end has not read enough, or that too
  // many descriptors are on their way.
  absl::Status TrySend(absl::string_view text, int fd = -1);
  // DeadlineExceeded: nothing came. Unavailable: the other end is closed, and all that it had sent was received.
  // DataLoss: longer than kMaxMessageBytes, or with several descriptors.
  absl::StatusOr<Message> Receive(absl::Duration timeout);

  int fd() const { return fd_.get(); }
  UniqueFd Release() { return std::move(fd_); }

 private:
  absl::Status SendWith(int flags, absl::string_view text, int fd);
  absl::StatusOr<Message> ReceiveNow();

  UniqueFd fd_;
};

}  // namespace lanyard
