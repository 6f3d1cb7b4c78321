// What `lanyard check` concludes from what it found. Pure: the facts and the time are arguments.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "identity/cli/node_client.h"
#include "identity/cli/registry_client.h"
#include "identity/policy/ban.h"
#include "identity/workload/watch.h"

namespace lanyard {

class Output;

// One line of the report. kNote: cannot be judged from here, and no failure.
struct Finding {
  enum class Level { kGood, kNote, kProblem };
  Level level;
  std::string subject;  // "authority", "clock", "signing", "agent", "identity", "proxy", "view", "capture"...
  std::string detail;
  std::string remedy;  // with kProblem and kNote
};

std::vector<Finding> JudgeAuthority(const absl::StatusOr<AuthorityStatus>& status, absl::Time now);
// Those that should be connected and are not; a banned one is where it should be.
Finding JudgeAgents(const absl::StatusOr<std::vector<AgentRecord>>& agents, const std::vector<Ban>& bans,
                    absl::Time now);
// How the agent of this node stands with the authority.
Finding JudgeNode(const absl::StatusOr<NodeRecord>& node, absl::Time now);
// `address`: of the Workload API; `uid`: who asked.
std::vector<Finding> JudgeIdentity(const absl::StatusOr<WorkloadIdentity>& identity, const std::string& address,
                                   unsigned uid, absl::Time now);
// The status code that a page of the proxy's admin address answered with, and its body.
struct AdminAnswer {
  int code = 0;
  std::string body;
};
// `answer`: of /ready.
Finding JudgeProxy(const absl::StatusOr<AdminAnswer>& answer, const std::string& address);
// `answer`: of /view.
Finding JudgeView(const absl::StatusOr<AdminAnswer>& answer);
// Whether the proxy took its configuration file as it stands now, by /view. Nothing of a proxy that does not say.
std::vector<Finding> JudgeConfiguration(const absl::StatusOr<AdminAnswer>& answer);
// `captured`: whether any mode's capture is in force here, or why that cannot be seen.
Finding JudgeCapture(const absl::StatusOr<bool>& captured);
// What `lanyard capture check` found, in the words of `lanyard check`: one line where nothing is wrong.
std::vector<Finding> JudgeCaptureInForce(const std::vector<Finding>& findings);

bool HasProblem(const std::vector<Finding>& findings);

// Prints them. FailedPrecondition, with their number, where some are problems.
absl::Status ReportFindings(const std::vector<Finding>& findings, Output& output);

}  // namespace lanyard
