// What a rule of capture may name: ports, networks, cgroups. Values that exist only by parsing. Pure.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace lanyard {

// A port, 1 to 65535.
absl::StatusOr<uint16_t> ParsePort(absl::string_view text);

// One port or a range of them, both ends included.
class PortRange {
 public:
  // "8080" or "8000-8100", 1 to 65535.
  static absl::StatusOr<PortRange> Parse(absl::string_view text);
  std::string ToString() const;
  uint16_t first() const { return first_; }
  bool Contains(uint16_t port) const { return first_ <= port && port <= last_; }

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
  // The address before the slash.
  std::string address() const { return text_.substr(0, text_.find('/')); }
  const std::string& ToString() const { return text_; }

 private:
  Cidr(std::string text, bool is_v6) : text_(std::move(text)), is_v6_(is_v6) {}
  std::string text_;
  bool is_v6_;
};

// A cgroup of the unified hierarchy, below its root: "system.slice/shop.service".
class Cgroup {
 public:
  // With or without a slash before it, or below the hierarchy's `mount_point` ("/sys/fs/cgroup/system.slice/...").
  // The root itself is none, for it holds every process. At most 120 bytes, as the kernel's notes on rules are short.
  static absl::StatusOr<Cgroup> Parse(absl::string_view text, absl::string_view mount_point);
  const std::string& ToString() const { return path_; }
  // How far below the root: 1 is its child.
  int level() const;

 private:
  explicit Cgroup(std::string path) : path_(std::move(path)) {}
  std::string path_;
};

}  // namespace lanyard
