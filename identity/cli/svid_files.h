// An SVID as the three PEM files that other programs read.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "identity/spiffe/bundle.h"
#include "identity/spiffe/svid.h"

namespace lanyard {

// Writes `directory`/bundle.pem and svid.pem (0644) and key.pem (0600), each replaced whole; the folder
// is made (0700) if absent. A reader that meets a new key beside an old chain sees that they do not match and
// reads again, as lanyard-proxy does.
absl::Status WriteSvidFiles(const std::string& directory, const X509Svid& svid, const X509Bundle& bundle);

}  // namespace lanyard
