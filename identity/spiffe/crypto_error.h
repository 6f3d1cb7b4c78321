// BoringSSL's error queue as a Status.
#pragma once

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace lanyard {

// "<what>: <BoringSSL's reason>", or just `what` without one. Empties this thread's queue, so
// that no later call reports an error that is not its own.
absl::Status CryptoError(absl::StatusCode code, absl::string_view what);

}  // namespace lanyard
