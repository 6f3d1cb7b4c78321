#include "identity/authority/node_watches.h"

#include "absl/strings/str_cat.h"

namespace lanyard {

absl::Status NodeWatches::Add(const SpiffeId& agent, NodeWatch& watch) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (ended_) return absl::UnavailableError("the authority is shutting down");
  if (count_ >= max_watches_) {
    return absl::ResourceExhaustedError(absl::StrCat("the authority serves ", max_watches_, " agents, its limit"));
  }
  if (watches_[agent].insert(&watch).second) ++count_;
  return absl::OkStatus();
}

void NodeWatches::Remove(const SpiffeId& agent, NodeWatch& watch) {
  std::lock_guard<std::mutex> lock(mutex_);
  const auto found = watches_.find(agent);
  if (found == watches_.end()) return;
  count_ -= found->second.erase(&watch);
  if (found->second.empty()) watches_.erase(found);
}

void NodeWatches::WakeAll() {
  std::lock_guard<std::mutex> lock(mutex_);
  for (const auto& [agent, streams] : watches_) {
    for (NodeWatch* watch : streams) watch->Wake();
  }
}

void NodeWatches::End(const SpiffeId& agent, const absl::Status& why) {
  std::lock_guard<std::mutex> lock(mutex_);
  const auto found = watches_.find(agent);
  if (found == watches_.end()) return;
  for (NodeWatch* watch : found->second) watch->End(why);
}

void NodeWatches::EndAll(const absl::Status& why) {
  std::lock_guard<std::mutex> lock(mutex_);
  ended_ = true;
  for (const auto& [agent, streams] : watches_) {
    for (NodeWatch* watch : streams) watch->End(why);
  }
}

size_t NodeWatches::agents() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return watches_.size();
}

bool NodeWatches::IsConnected(const SpiffeId& agent) const {
  std::lock_guard<std::mutex> lock(mutex_);
  return watches_.contains(agent);
}

}  // namespace lanyard
