// The certificates a TLS server shows, taken without any verification. Only for trust on first use, which
// must verify the real connection by what it found here; nothing may ever be sent on such a connection.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "identity/spiffe/certificate.h"

namespace lanyard {

// Connects to "host:port", completes a TLS 1.3 handshake, closes. Leaf first, at least one certificate. `timeout`
// holds for connecting and handshake; the name is looked up without a limit of its own. Errors: Unavailable (cannot
// connect), DeadlineExceeded, Unauthenticated (not a TLS server, or certificates that cannot be read).
absl::StatusOr<std::vector<Certificate>> InsecureServerChain(const std::string& address, absl::Duration timeout);

}  // namespace lanyard
