// The mistakes found in a configuration file, to be reported together.
#pragma once

#include <functional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace lanyard {

// One mistake: where, what stands there, what to write instead.
struct ConfigProblem {
  std::string path;     // "listeners[2].outbound.peers[0]"; "" for the whole file
  std::string message;  // one sentence with the value and the remedy
};

// Collects mistakes while a message is checked. Not thread-safe.
class ConfigProblems {
 public:
  // One mistake a path, the first: a value that could not be read is not also missing. Of the
  // whole file ("") every one.
  void Add(absl::string_view path, absl::string_view message);
  // The file could not be read at all: what is missing after that is not a mistake, and is not added.
  void AddUnreadable(absl::string_view message);
  bool Has(absl::string_view path) const;
  bool empty() const { return problems_.empty(); }
  const std::vector<ConfigProblem>& all() const { return problems_; }
  // OK, or InvalidArgument: "proxy.yaml: 3 mistakes:\n  listeners[0].name: ...\n ..."
  absl::Status ToStatus(absl::string_view file) const;

 private:
  bool unreadable_ = false;
  std::vector<ConfigProblem> problems_;
  std::set<std::string, std::less<>> paths_;  // of problems_: a large broken file has many
};

}  // namespace lanyard
