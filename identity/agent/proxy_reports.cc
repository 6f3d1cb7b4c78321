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
  }
  thread_.join();
}

uint64_t ProxyReports::NewStream() {
  absl::MutexLock lock(&mutex_);
  return ++streams_;
}

void ProxyReports::Set(uint64_t stream, std::string status) {
  absl::MutexLock lock(&mutex_);
  std::string& kept = statuses_[stream];
  if (kept == status) return;
  kept = std::move(status);
  ++changes_;
}

void ProxyReports::Remove(uint64_t stream) {
  absl::MutexLock lock(&mutex_);
  if (statuses_.erase(stream) != 0) ++changes_;
}

void ProxyReports::Connected() {
  absl::MutexLock lock(&mutex_);
  ++connections_;
  if (!statuses_.empty()) ++changes_;
}

std::vector<std::string> ProxyReports::All() const {
  std::vector<std::string> all;
  for (const auto& [stream, status] : statuses_) {
    if (all.size() == kMaxReported) break;
    all.push_back(status);
  }
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
    mutex_.AwaitWithTimeout(absl::Condition(&stopping_), options_.gather);
    if (stopping_) return;
    const std::vector<std::string> all = All();
    const uint64_t sending = changes_;
    tried_over = connections_;
    if (statuses_.size() > all.size()) {
      Log(LogLevel::kWarning, "not every proxy is reported to the authority",
          {{"proxies", statuses_.size()}, {"reported", all.size()}});
    }
    mutex_.Unlock();
    const absl::Status status = options_.send(all);
    mutex_.Lock();
    if (status.ok() || absl::IsUnimplemented(status)) {
      sent = sending;
      continue;
    }
    Log(LogLevel::kDebug, "proxies not reported to the authority", {{"error", status}});
    mutex_.AwaitWithTimeout(absl::Condition(&connected), options_.retry);
  }
}

}  // namespace lanyard
