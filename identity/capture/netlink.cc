#include "identity/capture/netlink.h"

#include <linux/rtnetlink.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <vector>

namespace lanyard {
namespace {

constexpr size_t kAnswerBytes = 64 << 10;  // the kernel's own messages of a dump are at most 32 KiB
constexpr int kTimeoutSeconds = 5;         // it answers at once, or never
constexpr uint32_t kSequence = 1;          // one request at a time

size_t Aligned(size_t size) { return (size + NLMSG_ALIGNTO - 1) & ~size_t{NLMSG_ALIGNTO - 1}; }

}  // namespace

std::string NetlinkAttribute(uint16_t type, absl::string_view value) {
  rtattr attribute{};
  attribute.rta_type = type;
  attribute.rta_len = static_cast<uint16_t>(sizeof(attribute) + value.size());
  std::string bytes(reinterpret_cast<const char*>(&attribute), sizeof(attribute));
  bytes.append(value.data(), value.size());
  bytes.resize(Aligned(bytes.size()));
  return bytes;
}

NetlinkRequest::NetlinkRequest(uint16_t type, uint16_t flags, absl::string_view body) {
  nlmsghdr header{};
  header.nlmsg_type = type;
  header.nlmsg_flags = static_cast<uint16_t>(NLM_F_REQUEST | flags);
  header.nlmsg_seq = kSequence;
  Append(absl::string_view(reinterpret_cast<const char*>(&header), sizeof(header)));
  Append(body);
}

void NetlinkRequest::Append(absl::string_view part) {
  bytes_.append(part.data(), part.size());
  bytes_.resize(Aligned(bytes_.size()));
}

NetlinkRequest& NetlinkRequest::Attribute(uint16_t type, absl::string_view value) {
  bytes_ += NetlinkAttribute(type, value);
  return *this;
}

NetlinkRequest& NetlinkRequest::U32(uint16_t type, uint32_t value) {
  return Attribute(type, absl::string_view(reinterpret_cast<const char*>(&value), sizeof(value)));
}

NetlinkRequest& NetlinkRequest::U8(uint16_t type, uint8_t value) {
  return Attribute(type, absl::string_view(reinterpret_cast<const char*>(&value), sizeof(value)));
}

std::string NetlinkRequest::Bytes() const {
  std::string bytes = bytes_;
  const uint32_t length = static_cast<uint32_t>(bytes.size());
  static_assert(offsetof(nlmsghdr, nlmsg_len) == 0);
  memcpy(bytes.data(), &length, sizeof(length));
  return bytes;
}

void ForEachAttribute(absl::string_view attributes,
                      const std::function<void(uint16_t type, absl::string_view value)>& each) {
  while (attributes.size() >= sizeof(rtattr)) {
    rtattr attribute;
    memcpy(&attribute, attributes.data(), sizeof(attribute));
    if (attribute.rta_len < sizeof(attribute) || attribute.rta_len > attributes.size()) return;
    const absl::string_view value = attributes.substr(sizeof(attribute), attribute.rta_len - sizeof(attribute));
    each(attribute.rta_type & NLA_TYPE_MASK, value);
    attributes.remove_prefix(std::min(attributes.size(), Aligned(attribute.rta_len)));
  }
}

uint32_t ReadU32(absl::string_view value) {
  uint32_t number = 0;
  if (value.size() >= sizeof(number)) memcpy(&number, value.data(), sizeof(number));
  return number;
}

absl::StatusOr<Netlink> Netlink::Open(int family) {
  Netlink netlink(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, family));
  if (netlink.fd_ < 0) return absl::ErrnoToStatus(errno, "the kernel cannot be asked by netlink");
  const timeval timeout = {.tv_sec = kTimeoutSeconds, .tv_usec = 0};
  setsockopt(netlink.fd_, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
  return netlink;
}

Netlink::~Netlink() {
  if (fd_ >= 0) close(fd_);
}

absl::Status Netlink::Send(const NetlinkRequest& request) {
  const std::string bytes = request.Bytes();
  sockaddr_nl kernel{};
  kernel.nl_family = AF_NETLINK;
  if (sendto(fd_, bytes.data(), bytes.size(), 0, reinterpret_cast<const sockaddr*>(&kernel), sizeof(kernel)) < 0) {
    return absl::ErrnoToStatus(errno, "a netlink request did not reach the kernel");
  }
  return absl::OkStatus();
}

absl::StatusOr<int> Netlink::Receive(const std::function<void(uint16_t type, absl::string_view body)>& each) {
  std::vector<char> buffer(kAnswerBytes);
  while (true) {
    const ssize_t received = recv(fd_, buffer.data(), buffer.size(), 0);
    if (received < 0 && errno == EINTR) continue;
    if (received < 0) return absl::ErrnoToStatus(errno, "the kernel did not answer a netlink request");
    absl::string_view rest(buffer.data(), static_cast<size_t>(received));
    while (rest.size() >= sizeof(nlmsghdr)) {
      nlmsghdr header;
      memcpy(&header, rest.data(), sizeof(header));
      if (header.nlmsg_len < sizeof(header) || header.nlmsg_len > rest.size()) break;
      const absl::string_view body = rest.substr(sizeof(header), header.nlmsg_len - sizeof(header));
      rest.remove_prefix(std::min(rest.size(), Aligned(header.nlmsg_len)));
      if (header.nlmsg_type == NLMSG_DONE) return 0;
      if (header.nlmsg_type == NLMSG_ERROR) return -static_cast<int>(ReadU32(body));
      each(header.nlmsg_type, body);
    }
  }
}

absl::StatusOr<int> Netlink::Do(const NetlinkRequest& request) {
  if (const absl::Status sent = Send(request); !sent.ok()) return sent;
  return Receive([](uint16_t, absl::string_view) {});
}

absl::Status Netlink::Dump(const NetlinkRequest& request,
                           const std::function<void(uint16_t type, absl::string_view body)>& each) {
  if (const absl::Status sent = Send(request); !sent.ok()) return sent;
  const absl::StatusOr<int> done = Receive(each);
  if (!done.ok()) return done.status();
  if (*done == 0) return absl::OkStatus();
  return absl::ErrnoToStatus(*done, "the kernel does not list what it was asked for by netlink");
}

}  // namespace lanyard
