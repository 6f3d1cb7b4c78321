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

}  // namespace

absl::Status MeshReports::Replace(const SpiffeId& agent, std::vector<ProxyReport> proxies, absl::Time now) {
  if (proxies.size() > kMaxProxiesOfAgent) {
    return absl::InvalidArgumentError(
        absl::StrCat(proxies.size(), " proxies are too many for one node; at most ", kMaxProxiesOfAgent));
  }
  if (std::any_of(proxies.begin(), proxies.end(), HasLongText)) {
    return absl::InvalidArgumentError(
        absl::StrCat("a text of a proxy's report has more than ", kMaxTextSizeBytes, " bytes"));
  }
  std::lock_guard<std::mutex> lock(mutex_);
  const auto found = agents_.find(agent);
  const size_t before = found == agents_.end() ? 0 : found->second.proxies.size();
  if (count_ - before + proxies.size() > kMaxProxies) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the authority keeps reports of ", kMaxProxies, " proxies at most"));
  }
  count_ += proxies.size() - before;
  agents_.insert_or_assign(agent, OfAgent{agent, now, std::move(proxies)});
  return absl::OkStatus();
}

void MeshReports::Drop(const SpiffeId& agent) {
  std::lock_guard<std::mutex> lock(mutex_);
  const auto found = agents_.find(agent);
  if (found == agents_.end()) return;
  count_ -= found->second.proxies.size();
  agents_.erase(found);
}

std::vector<MeshReports::OfAgent> MeshReports::All() const {
  std::lock_guard<std::mutex> lock(mutex_);
  std::vector<OfAgent> all;
  for (const auto& [id, reports] : agents_) all.push_back(reports);
  return all;
}

}  // namespace lanyard
