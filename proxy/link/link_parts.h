// What a link consists of, on its way to another thread.
#pragma once

#include <memory>
#include <optional>

#include "absl/time/time.h"
#include "identity/tls/tls_context.h"
#include "proxy/io/unique_fd.h"
#include "proxy/link/frame.h"
#include "proxy/link/stream_machine.h"
#include "proxy/tls/tls_stream.h"

namespace lanyard {

// Destroying it closes the connection.
struct LinkParts {
  UniqueFd fd;
  TlsParts tls;  // `lower` is null
  LinkRole role;
  std::shared_ptr<const TlsContext> own;
  absl::Duration opened;
  std::optional<GoAwayReason> going_away;
};

}  // namespace lanyard
