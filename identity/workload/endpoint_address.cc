#include "identity/workload/endpoint_address.h"

#include <arpa/inet.h>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace lanyard {
namespace {

bool IsAddress(int family, const std::string& text) {
  in6_addr address;
  return inet_pton(family, text.c_str(), &address) == 1;
}

absl::StatusOr<std::string> TcpTarget(absl::string_view uri, absl::string_view authority) {
  const size_t colon = authority.rfind(':');
  const absl::Status wrong = absl::InvalidArgumentError(
      absl::StrCat("the Workload API's address \"", uri, "\" must be tcp://IP:port, and nothing after it"));
  if (colon == absl::string_view::npos) return wrong;
  std::string host(authority.substr(0, colon));
  uint32_t port;
  if (!absl::SimpleAtoi(authority.substr(colon + 1), &port) || port == 0 || port > 65535) return wrong;
  if (IsAddress(AF_INET, host)) return absl::StrCat("ipv4:", host, ":", port);
  if (host.size() < 2 || host.front() != '[' || host.back() != ']') return wrong;
  host = host.substr(1, host.size() - 2);
  if (!IsAddress(AF_INET6, host)) return wrong;
  return absl::StrCat("ipv6:[", host, "]:", port);
}

}  // namespace

absl::StatusOr<std::string> GrpcTargetOf(absl::string_view uri) {
  absl::string_view rest = uri;
  if (absl::ConsumePrefix(&rest, "tcp://")) return TcpTarget(uri, rest);
  const absl::Status wrong = absl::InvalidArgumentError(absl::StrCat(
      "the Workload API's address \"", uri, "\" must be unix:///absolute/path or tcp://IP:port, as in ",
      "unix:///run/lanyard/agent.sock"));
  if (!absl::ConsumePrefix(&rest, "unix:")) return wrong;
  if (absl::ConsumePrefix(&rest, "//") && !absl::StartsWith(rest, "/")) return wrong;   // an authority
  if (!absl::StartsWith(rest, "/") || absl::StartsWith(rest, "//") || absl::StrContains(rest, '?') ||
      absl::StrContains(rest, '#') || absl::StrContains(rest, '%')) {
    return wrong;
  }
  return absl::StrCat("unix:", rest);
}

}  // namespace lanyard
