#include "proxy/control/observed_reporter.h"

#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"

namespace lanyard {
namespace {

// Counts only grow, and a call that was forgotten and came again is seen later than before.
bool SameCalls(const ObservedReport& a, const ObservedReport& b) {
  return std::equal(a.calls.begin(), a.calls.end(), b.calls.begin(), b.calls.end(),
                    [](const ObservedCall& one, const ObservedCall& other) {
                      return one.key == other.key && one.count == other.count && one.last_seen == other.last_seen;
                    });
}

}  // namespace

std::vector<ObservedCall> MergedCalls(const std::vector<ObservedCall>& of_workers) {
  std::vector<ObservedCall> calls;
  absl::flat_hash_map<absl::string_view, size_t> places;
  for (const ObservedCall& call : of_workers) {
    const auto [known, is_new] = places.try_emplace(call.key, calls.size());
    if (is_new) {
      calls.push_back(call);
      continue;
    }
    ObservedCall& same = calls[known->second];
    same.count += call.count;
    same.last_seen = std::max(same.last_seen, call.last_seen);
  }
  return calls;
}

ObservedReport ReportOf(const std::vector<ObservedCall>& of_workers, uint64_t left_out, absl::Time now) {
  ObservedReport report{now, {}, left_out};
  for (ObservedCall& call : MergedCalls(of_workers)) {
    if (call.captured && !call.local_id.empty()) report.calls.push_back(std::move(call));
  }
  std::stable_sort(report.calls.begin(), report.calls.end(),
                   [](const ObservedCall& a, const ObservedCall& b) { return a.last_seen > b.last_seen; });
  return report;
}

void ObservedReporter::Start() {
  options_.loop->Every(options_.interval, [this] { Gather(); });
}

void ObservedReporter::Gather() {
  GatherAnswers<ObservedCall>(*options_.loop, options_.workers, options_.worker_timeout, &WorkerHandle::ListObserved,
                              [this](bool whole, const std::vector<ObservedCall>& calls) {
                                if (whole) Take(calls);
                              });
}

void ObservedReporter::Take(const std::vector<ObservedCall>& of_workers) {
  uint64_t forgotten = 0;
  for (const WorkerHandle* worker : options_.workers) forgotten += worker->Counters().observed_forgotten;
  auto report = std::make_shared<const ObservedReport>(ReportOf(of_workers, forgotten, options_.clock->Now()));
  if (told_ != nullptr && SameCalls(*told_, *report) && report->at - told_->at < options_.longest_silence &&
      report->at >= told_->at) {
    return;
  }
  told_ = report;
  options_.report(std::move(report));
}

}  // namespace lanyard
