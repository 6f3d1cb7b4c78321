#include "proxy/io/address_in_use.h"

#include <sys/socket.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "proxy/io/unique_fd.h"

namespace lanyard {

absl::Status CheckAddressFree(const SocketAddress& address) {
  if (address.port() == 0) return absl::OkStatus();
  const UniqueFd fd(socket(address.raw()->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const int on = 1;
  // Connections of an earlier life in TIME_WAIT do not count; without SO_REUSEPORT every listener does.
  setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  // Whatever else is wrong with the address, listening on it says it better.
  if (bind(fd.get(), address.raw(), address.raw_size()) == 0 || errno != EADDRINUSE) return absl::OkStatus();
  return absl::AlreadyExistsError(
      absl::StrCat(address.ToString(), " is in use by another process; stop it, or choose another address"));
}

}  // namespace lanyard
