#include "proxy/io/passage.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

namespace lanyard {
namespace {

absl::Status Gone() { return absl::UnavailableError("the other process is gone"); }

absl::Status WaitReadable(int fd, absl::Duration timeout) {
  pollfd watched = {.fd = fd, .events = POLLIN, .revents = 0};
  const int count = poll(&watched, 1, static_cast<int>(absl::ToInt64Milliseconds(timeout)));
  if (count > 0) return absl::OkStatus();
  if (count == 0 || errno == EINTR) return absl::DeadlineExceededError("nothing came from the other process");
  return absl::ErrnoToStatus(errno, "waiting for the other process failed");
}

UniqueFd DescriptorOf(msghdr& message) {
  UniqueFd fd;
  for (cmsghdr* part = CMSG_FIRSTHDR(&message); part != nullptr; part = CMSG_NXTHDR(&message, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS || part->cmsg_len != CMSG_LEN(sizeof(int))) {
      continue;
    }
    int number;
    std::memcpy(&number, CMSG_DATA(part), sizeof(number));
    fd.Reset(number);
  }
  return fd;
}

}  // namespace

uint64_t SocketCookie(int fd) {
  uint64_t cookie = 0;
  socklen_t size = sizeof(cookie);
  return getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &size) == 0 ? cookie : 0;
}

absl::StatusOr<std::pair<Passage, Passage>> Passage::Pair() {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
    return absl::ErrnoToStatus(errno, "no socket pair could be made");
  }
  return std::make_pair(Passage(UniqueFd(ends[0])), Passage(UniqueFd(ends[1])));
}

Passage::Passage(UniqueFd fd) : fd_(std::move(fd)) {
  const timeval timeout = absl::ToTimeval(kSendTimeout);
  setsockopt(fd_.get(), SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
  fcntl(fd_.get(), F_SETFD, FD_CLOEXEC);
}

absl::Status Passage::Send(absl::string_view text, int fd) { return SendWith(MSG_NOSIGNAL, text, fd); }

absl::Status Passage::TrySend(absl::string_view text, int fd) {
  return SendWith(MSG_NOSIGNAL | MSG_DONTWAIT, text, fd);
}

absl::Status Passage::SendWith(int flags, absl::string_view text, int fd) {
  if (text.empty() || text.size() > kMaxMessageBytes) return absl::InvalidArgumentError("a message of a bad size");
  iovec bytes = {.iov_base = const_cast<char*>(text.data()), .iov_len = text.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &bytes;
  message.msg_iovlen = 1;
  if (fd >= 0) {
    message.msg_control = control;
    message.msg_controllen = sizeof(control);
    cmsghdr* const part = CMSG_FIRSTHDR(&message);
    part->cmsg_level = SOL_SOCKET;
    part->cmsg_type = SCM_RIGHTS;
    part->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(part), &fd, sizeof(fd));
  }
  ssize_t sent;
  do {
    sent = sendmsg(fd_.get(), &message, flags);
  } while (sent < 0 && errno == EINTR);
  if (sent >= 0) return absl::OkStatus();
  if (errno == EPIPE || errno == ECONNRESET) return Gone();
  const absl::Status status = absl::ErrnoToStatus(errno, "the other process takes no message");
  return (flags & MSG_DONTWAIT) != 0 ? absl::ResourceExhaustedError(status.message()) : status;
}

absl::StatusOr<Passage::Message> Passage::Receive(absl::Duration timeout) {
  if (absl::Status readable = WaitReadable(fd_.get(), timeout); !readable.ok()) return readable;
  absl::StatusOr<Message> received = ReceiveNow();
  // Said once, before what the other end had sent, if that end was closed with messages unread there.
  if (absl::IsUnavailable(received.status())) received = ReceiveNow();
  return received;
}

absl::StatusOr<Passage::Message> Passage::ReceiveNow() {
  char text[kMaxMessageBytes];
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  iovec bytes = {.iov_base = text, .iov_len = sizeof(text)};
  msghdr message{};
  message.msg_iov = &bytes;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof(control);
  const ssize_t size = recvmsg(fd_.get(), &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
  if (size < 0 && (errno == EAGAIN || errno == EINTR)) return absl::DeadlineExceededError("nothing came");
  if (size == 0 || (size < 0 && errno == ECONNRESET)) return Gone();
  if (size < 0) return absl::ErrnoToStatus(errno, "a message could not be read");
  Message received{std::string(text, static_cast<size_t>(size)), DescriptorOf(message)};
  // Where no descriptor is free here, the one that came is closed, and the message is without.
  const bool several = (message.msg_flags & MSG_CTRUNC) != 0 && received.fd.valid();
  if (several || (message.msg_flags & MSG_TRUNC) != 0) return absl::DataLossError("a message is too long");
  return received;
}

}  // namespace lanyard
