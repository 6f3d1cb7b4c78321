#include "identity/registry/mesh_reports.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace lanyard {
namespace {

bool HasLongText(const ProxyReport& report) {
  const size_t longest = std::max(
      {report.version.size(), report.refused_view_error.size(), report.spiffe_id.size(), report.serial.size()});
  return longest > MeshReports::kMaxTextSizeBytes;
}

size_t BytesOf(const ObservedByProxies& observed) {
  size_t size_bytes = 0;
  for (const auto& [proxy, bytes] : observed) size_bytes += bytes.size();
  return size_bytes;
}

}  // namespace

MeshReports::OfAgent& MeshReports::At(const SpiffeId& agent, absl::Time now) {
  return agents_.try_emplace(agent, OfAgent{agent, now, {}, std::make_shared<const ObservedByProxies>()}).first->second;
}

absl::Status MeshReports::Refuse(const absl::Status& why) {
  ++refused_;
  return why;
}

absl::Status MeshReports::Replace(const SpiffeId& agent, std::vector<ProxyReport> proxies, absl::Time now) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (proxies.size() > kMaxProxiesOfAgent) {
    return Refuse(absl::InvalidArgumentError(
        absl::StrCat(proxies.size(), " proxies are too many for one node; at most ", kMaxProxiesOfAgent)));
  }
  if (std::any_of(proxies.begin(), proxies.end(), HasLongText)) {
    return Refuse(absl::InvalidArgumentError(
        absl::StrCat("a text of a proxy's report has more than ", kMaxTextSizeBytes, " bytes")));
  }
  const auto found = agents_.find(agent);
  const size_t before = found == agents_.end() ? 0 : found->second.proxies.size();
  if (count_ - before + proxies.size() > kMaxProxies) {
    return Refuse(absl::ResourceExhaustedError(
        absl::StrCat("the authority keeps reports of ", kMaxProxies, " proxies at most")));
  }
  count_ += proxies.size() - before;
  OfAgent& at = At(agent, now);
  at.reported_at = now;
  at.proxies = std::move(proxies);
  return absl::OkStatus();
}

absl::Status MeshReports::ReplaceObserved(const SpiffeId& agent, ObservedByProxies observed, absl::Time now) {
  const size_t size_bytes = BytesOf(observed);
  std::lock_guard<std::mutex> lock(mutex_);
  if (observed.size() > kMaxProxiesOfAgent || size_bytes > kMaxObservedBytesOfAgent) {
    return Refuse(absl::InvalidArgumentError(absl::StrCat(
        "what ", observed.size(), " proxies observed, in ", size_bytes, " bytes, is too much for one node; at most ",
        kMaxProxiesOfAgent, " proxies and ", kMaxObservedBytesOfAgent, " bytes")));
  }
  const auto found = agents_.find(agent);
  const size_t before_bytes = found == agents_.end() ? 0 : BytesOf(*found->second.observed);
  if (observed_bytes_ - before_bytes + size_bytes > kMaxObservedBytes) {
    return Refuse(absl::ResourceExhaustedError(
        absl::StrCat("the authority keeps ", kMaxObservedBytes, " bytes of what proxies observed at most")));
  }
  observed_bytes_ += size_bytes - before_bytes;
  At(agent, now).observed = std::make_shared<const ObservedByProxies>(std::move(observed));
  return absl::OkStatus();
}

void MeshReports::Drop(const SpiffeId& agent) {
  std::lock_guard<std::mutex> lock(mutex_);
  const auto found = agents_.find(agent);
  if (found == agents_.end()) return;
  count_ -= found->second.proxies.size();
  observed_bytes_ -= BytesOf(*found->second.observed);
  agents_.erase(found);
}

uint64_t MeshReports::refused() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return refused_;
}

std::vector<MeshReports::OfAgent> MeshReports::All() const {
  std::lock_guard<std::mutex> lock(mutex_);
  std::vector<OfAgent> all;
  for (const auto& [id, reports] : agents_) all.push_back(reports);
  return all;
}

}  // namespace lanyard
