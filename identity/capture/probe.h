// Connections that ought to be captured, to see where they arrive: one out, made by a child process as somebody whose
// connections are, and one in, made from a network namespace beside this one.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "identity/capture/rules.h"

namespace lanyard {

// What a probe does.
struct ProbePlan {
  // Out: an address for documentation (RFC 5737, RFC 3849), or one of --include-cidrs. In: this machine's.
  std::string destination;
  uint16_t port = 0;
  uint16_t proxy_port = 0;  // where the proxy takes it, if its destination is rewritten
  // Of one out.
  uid_t uid = 0;
  gid_t gid = 0;
  std::string cgroup;  // the path to enter; empty: stay
};

// Of a family, following `rules`. NotFound: by these rules nothing of this family is captured that could be tried, with
// the reason. Pure.
absl::StatusOr<ProbePlan> PlanProbe(const CaptureRules& rules, bool v6, const std::string& cgroup_mount);

// Likewise of one in, to `own_address` of this machine.
absl::StatusOr<ProbePlan> PlanInboundProbe(const CaptureRules& rules, const std::string& own_address);

struct ProbeResult {
  ProbePlan plan;
  int error_number = 0;     // why it did not connect
  bool arrived = false;     // at a socket of this namespace
  bool accepted = false;    // that somebody has taken
  std::optional<uid_t> owner = {};  // who; nothing where it was closed before that could be seen
};

// Blocks for `timeout` at most, twice. Needs the right to change users (root). The caller has no other threads. Where
// the machine has no route to the destination, a neighbour's address is tried instead.
absl::StatusOr<ProbeResult> Probe(ProbePlan plan, absl::Duration timeout);

// An address of this machine that others may reach it at; empty where it has none of that family but loopback.
std::string OwnAddress(bool v6);

// Of one in. Blocks for twice `timeout` at most. While it runs there is an interface more (outside.h, with its errors).
absl::StatusOr<ProbeResult> ProbeFromOutside(const ProbePlan& plan, absl::Duration timeout);

}  // namespace lanyard
