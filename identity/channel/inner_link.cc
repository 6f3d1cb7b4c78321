#include "identity/channel/inner_link.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "absl/strings/strip.h"
#include "identity/base/random.h"

namespace lanyard {
namespace {

constexpr size_t kNameRandomBytes = 16;

}  // namespace

absl::StatusOr<InnerLink> InnerLink::Create() {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0) {
    return absl::ErrnoToStatus(errno, "cannot create a socket pair");
  }
  InnerLink link{Descriptor(ends[0]), Descriptor(ends[1]), SystemRandom().Hex(kNameRandomBytes)};
  // Linux binds a connected socket too; from then on getpeername(2) of the other end tells the name.
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  memcpy(address.sun_path + 1, link.name.data(), link.name.size());
  const socklen_t size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + link.name.size());
  if (bind(link.relay_end.get(), reinterpret_cast<const sockaddr*>(&address), size) != 0) {
    return absl::ErrnoToStatus(errno, "cannot name a socket pair");
  }
  return link;
}

std::string InnerLinkName(absl::string_view peer) {
  if (!absl::ConsumePrefix(&peer, "unix-abstract:") || peer.size() != 2 * kNameRandomBytes) return "";
  return std::string(peer);
}

}  // namespace lanyard
