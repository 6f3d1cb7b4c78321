// The nftables rules of capture as text: which TCP connections reach the proxy. Pure.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace lanyard {

inline constexpr char kCaptureTable[] = "inet lanyard";

// One port or a range of them, both ends included.
class PortRange {
 public:
  // "8080" or "8000-8100", 1 to 65535.
  static absl::StatusOr<PortRange> Parse(absl::string_view text);
  std::string ToString() const;

 private:
  PortRange(uint16_t first, uint16_t last) : first_(first), last_(last) {}
  uint16_t first_;
  uint16_t last_;
};

// An IPv4 or IPv6 network in its own spelling: "10.0.0.0/8", "fd00::/8"; an address alone is itself only.
class Cidr {
 public:
  static absl::StatusOr<Cidr> Parse(absl::string_view text);
  bool is_v6() const { return is_v6_; }
  const std::string& ToString() const { return text_; }

 private:
  Cidr(std::string text, bool is_v6) : text_(std::move(text)), is_v6_(is_v6) {}
  std::string text_;
  bool is_v6_;
};

struct CaptureRules {
  uid_t proxy_uid = 0;               // whose own traffic stays untouched
  std::vector<uid_t> excluded_uids;  // others whose connections are not captured, such as the agent
  uint16_t outbound_port = 15001;    // where the proxy takes redirected outbound connections
  uint16_t inbound_port = 15006;
  // Empty include lists mean everything; exclusion wins.
  std::vector<PortRange> include_outbound_ports, exclude_outbound_ports;
  std::vector<PortRange> include_inbound_ports, exclude_inbound_ports;
  std::vector<Cidr> include_cidrs, exclude_cidrs;  // destinations of outbound connections
};

// One transaction that puts these rules into force whatever was there before.
std::string CaptureUpScript(const CaptureRules& rules);
// One transaction that removes them; it succeeds where none are.
std::string CaptureDownScript();

}  // namespace lanyard
