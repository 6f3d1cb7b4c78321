// A place outside: a network namespace of its own beside this one, joined to it by a pair of interfaces. What connects
// from there comes in as from another machine.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "identity/base/descriptor.h"
#include "identity/capture/netlink.h"

namespace lanyard {

inline constexpr char kOutsideInterface[] = "lanyard-probe";  // this namespace's end of the pair

// One family. While it lives this namespace has an interface more, with an address for documentation (RFC 5737, RFC
// 3849); it goes with the object, and with the process however that ends. One thread.
class Outside {
 public:
  // PermissionDenied without CAP_SYS_ADMIN and CAP_NET_ADMIN; AlreadyExists while another process has one.
  static absl::StatusOr<std::unique_ptr<Outside>> Open(bool v6);
  ~Outside();
  Outside(const Outside&) = delete;
  Outside& operator=(const Outside&) = delete;

  // A TCP socket out there, non-blocking.
  absl::StatusOr<Descriptor> Socket() const;
  // This namespace's address on the way there; all its others are reached from there too.
  static std::string NearAddress(bool v6);

 private:
  Outside(bool v6, Netlink here) : v6_(v6), here_(std::move(here)) {}
  absl::Status Join();

  const bool v6_;
  Netlink here_;
  Descriptor namespace_;
  unsigned int interface_ = 0;
};

}  // namespace lanyard
