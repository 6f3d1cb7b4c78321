// Where a captured outbound connection goes, as a value. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "identity/policy/address_block.h"
#include "identity/policy/policy.h"

namespace lanyard {

enum class RouteAction { kPassThrough, kMutualTls, kRefuse };

struct Route {
  std::string name;
  std::vector<AddressBlock> destinations;  // empty: any
  std::vector<uint16_t> ports;             // empty: any
  RouteAction action = RouteAction::kRefuse;
  std::vector<PeerPattern> peers;  // who must answer, with kMutualTls

  friend bool operator==(const Route &, const Route &) = default;
};

}  // namespace lanyard
