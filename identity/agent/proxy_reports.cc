#include "identity/agent/proxy_reports.h"

#include <utility>

#include "identity/base/logging.h"

namespace lanyard {

ProxyReports::ProxyReports(Options options) : options_(std::move(options)) {
  thread_ = std::thread([this] { Run(); });
}

ProxyReports::~ProxyReports() {
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
    changed_.Ring();
  }
  thread_.join();
}

uint64_t ProxyReports::NewStream() {
  absl::MutexLock lock(&mutex_);
  return ++streams_;
}

void ProxyReports::Set(uint64_t stream, std::string report) {
  absl::MutexLock lock(&mutex_);
  const auto known = reports_.find(stream);
  if (known != reports_.end() && known->second == report) return;
  const bool changed = Forget(stream);
  if (size_bytes_ + report.size() > options_.max_bytes) {
    LeaveOut(1);
    if (changed) ++changes_;
    return;
  }
  size_bytes_ += report.size();
  reports_.emplace(stream, std::move(report));
  ++changes_;
}

void ProxyReports::Remove(uint64_t stream) {
  absl::MutexLock lock(&mutex_);
  if (Forget(stream)) ++changes_;
}

bool ProxyReports::Forget(uint64_t stream) {
  const auto known = reports_.find(stream);
  if (known == reports_.end()) return false;
  size_bytes_ -= known->second.size();
  reports_.erase(known);
  return true;
}

void ProxyReports::LeaveOut(size_t reports) {
  if (reports > 0 && left_out_ == 0) {
    Log(LogLevel::kWarning, "not every proxy is reported to the authority: this node has too many; said once, counted",
        {{"proxies", reports_.size()}, {"bytes", size_bytes_}});
  }
  left_out_ += reports;
}

void ProxyReports::Connected() {
  absl::MutexLock lock(&mutex_);
  ++connections_;
  changed_.Ring();
  if (!reports_.empty()) ++changes_;
}

uint64_t ProxyReports::left_out() const {
  absl::MutexLock lock(&mutex_);
  return left_out_;
}

std::vector<std::string> ProxyReports::TakeAll() {
  std::vector<std::string> all;
  for (const auto& [stream, report] : reports_) {
    if (all.size() == kMaxReported) break;
    all.push_back(report);
  }
  LeaveOut(reports_.size() - all.size());
  return all;
}

void ProxyReports::Run() {
  absl::MutexLock lock(&mutex_);
  uint64_t sent = 0, tried_over = 0;
  const auto news = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return stopping_ || changes_ != sent; };
  const auto connected = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return stopping_ || connections_ != tried_over;
  };
  for (;;) {
    mutex_.Await(absl::Condition(&news));
    changed_.AwaitFor(mutex_, options_.gather, [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return stopping_; });
    if (stopping_) return;
    const std::vector<std::string> all = TakeAll();
    const uint64_t sending = changes_;
    tried_over = connections_;
    mutex_.Unlock();
    const absl::Status status = options_.send(all);
    mutex_.Lock();
    if (status.ok() || absl::IsUnimplemented(status)) {
      sent = sending;
      continue;
    }
    Log(LogLevel::kDebug, "proxies not reported to the authority", {{"error", status}});
    changed_.AwaitFor(mutex_, options_.retry, connected);
  }
}

}  // namespace lanyard
