// What every binary's configuration has to say about a value and its type cannot: each check
// adds its mistake to `problems` under `path` and returns whether the value holds.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "identity/config/config_problems.h"

namespace lanyard {

// "unix:///path" or "host:port". Syntax only: a host name is not looked up.
struct ConfigAddress {
  std::string unix_path;   // "" for TCP
  std::string host;        // as written, IPv6 without its brackets; "" in ":7443"
  uint16_t port = 0;
};

// What an address is for.
enum class AddressUse {
  kListen,        // TCP: a literal address or none (":7443", every address); or unix
  kListenTcp,     // the same without unix
  kDial,          // TCP: a literal address or a name, port not 0; or unix
  kDialTcp,
};

// InvalidArgument says what is wrong and how such an address is written.
absl::StatusOr<ConfigAddress> ParseConfigAddress(absl::string_view text, AddressUse use);

bool CheckAddress(ConfigProblems& problems, absl::string_view path, absl::string_view text, AddressUse use);

// Where metrics are read: a literal address with a port, or nothing at all. Every interface only in so many words.
bool CheckAdminAddress(ConfigProblems& problems, absl::string_view path, absl::string_view text);

// Not empty; `what` says what to write ("the name of this authority's trust domain").
bool CheckRequired(ConfigProblems& problems, absl::string_view path, absl::string_view text, absl::string_view what);

bool CheckTrustDomain(ConfigProblems& problems, absl::string_view path, absl::string_view text);

// A SPIFFE ID with a path.
bool CheckWorkloadId(ConfigProblems& problems, absl::string_view path, absl::string_view text);

// A file that exists and that this process may read. Touches the file system.
bool CheckReadableFile(ConfigProblems& problems, absl::string_view path, const std::string& file);

// min <= value <= max.
bool CheckDuration(ConfigProblems& problems, absl::string_view path, absl::Duration value, absl::Duration min,
                   absl::Duration max);

}  // namespace lanyard
