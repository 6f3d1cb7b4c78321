// Whether another process listens on an address already.
#pragma once

#include "absl/status/status.h"
#include "proxy/io/address.h"

namespace lanyard {

// AlreadyExists if a socket of any process is bound to `address`. Workers share addresses by SO_REUSEPORT, which would
// let a second proxy of the same uid share them too, silently: ask before the first worker binds. Port 0 is free.
absl::Status CheckAddressFree(const SocketAddress& address);

}  // namespace lanyard
