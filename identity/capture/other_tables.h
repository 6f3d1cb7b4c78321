// Tables of others that take or rewrite connections where capture does. Pure.
#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace lanyard {

struct OtherTable {
  std::string name;   // "ip nat"
  std::string hook;   // "output", "prerouting"
  int priority = 0;   // the lower the earlier; of its chain on that hook
};

// Of nft's JSON listing of the whole ruleset: the tables, capture's own apart, with a chain on those hooks and a rule
// that redirects, translates destinations or brings connections to a socket; iptables' too. Empty for what cannot be
// read.
std::vector<OtherTable> TablesThatTakeConnections(absl::string_view ruleset_json);

}  // namespace lanyard
