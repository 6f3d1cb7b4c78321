// The rules of capture as what the eBPF programs look up. Pure.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "identity/capture/ebpf/layout.h"
#include "identity/capture/rules.h"

namespace lanyard {

// What the machine says at the time.
struct EbpfSurroundings {
  uint64_t netns_cookie = 0;
  std::vector<Cidr> own_addresses;  // of the network namespace: calls of them, and by them, do not leave it
  std::function<absl::StatusOr<uint64_t>(const Cgroup&)> cgroup_id;  // NotFound
};

struct EbpfTables {
  BpfRules rules = {};
  std::vector<BpfNetwork> included, excluded;
  std::vector<BpfNetwork> own;  // this machine's addresses, and loopback
  struct Party {
    BpfParty who = {};
    uint8_t sides = 0;  // bits of BpfPartySide
  };
  std::vector<Party> parties;  // each one once
};

// Of rules that CheckCaptureRules lets pass. InvalidArgument where a limit of layout.h is passed; `cgroup_id`'s errors.
absl::StatusOr<EbpfTables> MakeEbpfTables(const CaptureRules& rules, const EbpfSurroundings& surroundings);

// A network as a key.
BpfNetwork NetworkOf(const Cidr& cidr);

}  // namespace lanyard
