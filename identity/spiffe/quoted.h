// Untrusted text made fit for a message: quoted, escaped, cut.
#pragma once

#include <string>

#include "absl/strings/string_view.h"

namespace lanyard {

// "\"text\"" with everything but printable ASCII escaped; of more than 128 bytes only the start
// is shown, followed by the size.
std::string Quoted(absl::string_view text);

}  // namespace lanyard
