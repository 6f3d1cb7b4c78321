#include "identity/config/checks.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "identity/spiffe/quoted.h"
#include "identity/spiffe/spiffe_id.h"
#include "identity/spiffe/trust_domain.h"

namespace lanyard {
namespace {

bool IsIpv4(const std::string& host) {
  in_addr address;
  return inet_pton(AF_INET, host.c_str(), &address) == 1;
}

bool IsIpv6(const std::string& host) {
  in6_addr address;
  return inet_pton(AF_INET6, host.c_str(), &address) == 1;
}

// Letters, digits, '-', '_' and '.', not starting or ending with '.' or '-'; all digits and
// dots would be a mistyped IPv4 address.
bool IsHostName(absl::string_view host) {
  const auto allowed = [](unsigned char c) { return absl::ascii_isalnum(c) || c == '-' || c == '_' || c == '.'; };
  const auto numeric = [](unsigned char c) { return absl::ascii_isdigit(c) || c == '.'; };
  return !host.empty() && host.size() <= 253 && std::all_of(host.begin(), host.end(), allowed) &&
         !std::all_of(host.begin(), host.end(), numeric) && !absl::StrContains(host, "..") &&
         absl::ascii_isalnum(static_cast<unsigned char>(host.front())) &&
         absl::ascii_isalnum(static_cast<unsigned char>(host.back()));
}

absl::Status Refused(absl::string_view text, absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat("address ", Quoted(text), " ", why));
}

absl::StatusOr<ConfigAddress> ParseUnix(absl::string_view text, absl::string_view path, AddressUse use) {
  if (use == AddressUse::kListenTcp || use == AddressUse::kDialTcp) {
    return Refused(text, "is a Unix socket: write host:port");
  }
  if (!absl::StartsWith(path, "/") || absl::EndsWith(path, "/")) {
    return Refused(text, "has no absolute path: write unix:///run/name.sock");
  }
  constexpr size_t kMaxPathBytes = sizeof(sockaddr_un::sun_path) - 1;
  if (path.size() > kMaxPathBytes) {
    return Refused(text, absl::StrCat("is longer than the ", kMaxPathBytes, " bytes a Unix socket's path may have"));
  }
  ConfigAddress address;
  address.unix_path = std::string(path);
  return address;
}

// Splits "host:port" and "[v6]:port"; false if it is neither.
bool SplitHostPort(absl::string_view text, absl::string_view& host, absl::string_view& port, bool& bracketed) {
  const size_t colon = text.rfind(':');
  if (colon == absl::string_view::npos) return false;
  host = text.substr(0, colon);
  port = text.substr(colon + 1);
  bracketed = absl::ConsumePrefix(&host, "[");
  if (bracketed) return absl::ConsumeSuffix(&host, "]");
  return !absl::StrContains(host, ':');
}

absl::Status CheckHost(absl::string_view text, const std::string& host, bool bracketed, bool listening) {
  if (bracketed) {
    return IsIpv6(host) ? absl::OkStatus() : Refused(text, "has no IPv6 address in its brackets");
  }
  if (IsIpv4(host) || (host.empty() && listening)) return absl::OkStatus();
  if (host.empty()) return Refused(text, "has no host: write host:port");
  if (listening) return Refused(text, "is not a literal address: write one, such as 127.0.0.1:port or [::]:port");
  return IsHostName(host) ? absl::OkStatus() : Refused(text, "has neither a host name nor an address");
}

}  // namespace

absl::StatusOr<ConfigAddress> ParseConfigAddress(absl::string_view text, AddressUse use) {
  absl::string_view rest = text;
  if (absl::ConsumePrefix(&rest, "unix://") || absl::ConsumePrefix(&rest, "unix:")) return ParseUnix(text, rest, use);
  absl::string_view host, port;
  bool bracketed = false;
  if (!SplitHostPort(text, host, port, bracketed)) {
    return Refused(text, "is not host:port (an IPv6 address stands in brackets, as in [::1]:8080)");
  }
  ConfigAddress address;
  address.host = std::string(host);
  int number = 0;
  const bool digits = !port.empty() && std::all_of(port.begin(), port.end(), absl::ascii_isdigit);
  if (!digits || !absl::SimpleAtoi(port, &number) || number > 65535) {
    return Refused(text, "has no port from 0 to 65535 after its last ':'");
  }
  address.port = static_cast<uint16_t>(number);
  const bool listening = use == AddressUse::kListen || use == AddressUse::kListenTcp;
  if (number == 0 && !listening) return Refused(text, "has port 0, which nobody can answer on");
  if (absl::Status status = CheckHost(text, address.host, bracketed, listening); !status.ok()) return status;
  return address;
}

bool CheckAddress(ConfigProblems& problems, absl::string_view path, absl::string_view text, AddressUse use) {
  const absl::StatusOr<ConfigAddress> address = ParseConfigAddress(text, use);
  if (!address.ok()) problems.Add(path, address.status().message());
  return address.ok();
}

bool CheckAdminAddress(ConfigProblems& problems, absl::string_view path, absl::string_view text) {
  if (text.empty()) return true;
  if (text.front() == ':') {
    problems.Add(path, absl::StrCat("\"", text, "\" would let every network read it: write 127.0.0.1", text,
                                    ", or 0.0.0.0", text, " if that is meant"));
    return false;
  }
  return CheckAddress(problems, path, text, AddressUse::kListenTcp);
}

bool CheckRequired(ConfigProblems& problems, absl::string_view path, absl::string_view text, absl::string_view what) {
  if (text.empty()) problems.Add(path, absl::StrCat("it is required: write ", what));
  return !text.empty();
}

bool CheckTrustDomain(ConfigProblems& problems, absl::string_view path, absl::string_view text) {
  const absl::StatusOr<TrustDomain> trust_domain = TrustDomain::Parse(text);
  if (!trust_domain.ok()) problems.Add(path, trust_domain.status().message());
  return trust_domain.ok();
}

bool CheckWorkloadId(ConfigProblems& problems, absl::string_view path, absl::string_view text) {
  const absl::StatusOr<SpiffeId> id = SpiffeId::Parse(text);
  if (!id.ok()) {
    problems.Add(path, id.status().message());
  } else if (!id->has_path()) {
    problems.Add(path, absl::StrCat(Quoted(text), " names a trust domain: a workload's ID has a path"));
  }
  return id.ok() && id->has_path();
}

bool CheckReadableFile(ConfigProblems& problems, absl::string_view path, const std::string& file) {
  struct stat info;
  if (stat(file.c_str(), &info) != 0 || access(file.c_str(), R_OK) != 0) {
    problems.Add(path, absl::StrCat("the file ", Quoted(file), " cannot be read: ", strerror(errno)));
    return false;
  }
  if (S_ISREG(info.st_mode)) return true;
  problems.Add(path, absl::StrCat(Quoted(file), " is not a file"));
  return false;
}

bool CheckDuration(ConfigProblems& problems, absl::string_view path, absl::Duration value, absl::Duration min,
                   absl::Duration max) {
  if (value >= min && value <= max) return true;
  problems.Add(path, absl::StrCat(absl::FormatDuration(value), " is out of range: write ", absl::FormatDuration(min),
                                  " to ", absl::FormatDuration(max)));
  return false;
}

}  // namespace lanyard
