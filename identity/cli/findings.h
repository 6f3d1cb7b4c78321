// What `lanyard check` concludes from what it found. Pure: the facts and the time are arguments.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "identity/cli/registry_client.h"
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
// `captured`: whether any mode's capture is in force here, or why that cannot be seen.
Finding JudgeCapture(const absl::StatusOr<bool>& captured);

bool HasProblem(const std::vector<Finding>& findings);

// Prints them. FailedPrecondition, with their number, where some are problems.
absl::Status ReportFindings(const std::vector<Finding>& findings, Output& output);

}  // namespace lanyard
