#include "identity/config/config_problems.h"

#include "absl/strings/str_cat.h"

namespace lanyard {

bool ConfigProblems::Has(absl::string_view path) const { return paths_.contains(path); }

void ConfigProblems::Add(absl::string_view path, absl::string_view message) {
  if (unreadable_) return;
  const bool first = paths_.emplace(path).second;
  if (first || path.empty()) problems_.push_back({std::string(path), std::string(message)});
}

void ConfigProblems::AddUnreadable(absl::string_view message) {
  Add("", message);
  unreadable_ = true;
}

absl::Status ConfigProblems::ToStatus(absl::string_view file) const {
  if (problems_.empty()) return absl::OkStatus();
  std::string text = absl::StrCat(file, ": ", problems_.size(), problems_.size() == 1 ? " mistake:" : " mistakes:");
  for (const ConfigProblem& problem : problems_) {
    absl::StrAppend(&text, "\n  ", problem.path, problem.path.empty() ? "" : ": ", problem.message);
  }
  return absl::InvalidArgumentError(text);
}

}  // namespace lanyard
