// One netlink conversation: a request, and the kernel's answers.
#pragma once

#include <linux/netlink.h>

#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace lanyard {

// One attribute as bytes, padded to four; of several, and of attributes within one, put the bytes together.
std::string NetlinkAttribute(uint16_t type, absl::string_view value);

// A request as bytes: a netlink header, a fixed part, attributes.
class NetlinkRequest {
 public:
  // `body`: the fixed part, a plain struct of the kernel's.
  template <typename Body>
  NetlinkRequest(uint16_t type, uint16_t flags, const Body& body)
      : NetlinkRequest(type, flags, absl::string_view(reinterpret_cast<const char*>(&body), sizeof(body))) {}
  NetlinkRequest(uint16_t type, uint16_t flags, absl::string_view body);

  NetlinkRequest& Attribute(uint16_t type, absl::string_view value);
  NetlinkRequest& U32(uint16_t type, uint32_t value);
  NetlinkRequest& U8(uint16_t type, uint8_t value);
  // With its length written.
  std::string Bytes() const;

 private:
  void Append(absl::string_view part);  // padded to four bytes
  std::string bytes_;
};

// The attributes behind a message's fixed part; `value` is theirs for the time of the call. Stops at what is malformed.
void ForEachAttribute(absl::string_view attributes,
                      const std::function<void(uint16_t type, absl::string_view value)>& each);
// 0 where `value` is shorter.
uint32_t ReadU32(absl::string_view value);

// Blocking; one thread.
class Netlink {
 public:
  // About routes and interfaces, or another family of netlink(7).
  static absl::StatusOr<Netlink> Open(int family = NETLINK_ROUTE);
  ~Netlink();
  Netlink(Netlink&& other) : fd_(other.fd_) { other.fd_ = -1; }
  Netlink& operator=(Netlink&&) = delete;

  // The kernel's error number for the request: 0 when it was done. An error of the conversation itself is a status.
  absl::StatusOr<int> Do(const NetlinkRequest& request);
  // Every message of a dump, its fixed part and attributes together.
  absl::Status Dump(const NetlinkRequest& request,
                    const std::function<void(uint16_t type, absl::string_view body)>& each);

 private:
  explicit Netlink(int fd) : fd_(fd) {}
  absl::Status Send(const NetlinkRequest& request);
  // Reads to the end: an acknowledgement's error number.
  absl::StatusOr<int> Receive(const std::function<void(uint16_t type, absl::string_view body)>& each);

  int fd_;
};

}  // namespace lanyard
