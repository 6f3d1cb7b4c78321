#include "identity/authority/node_watches.h"

#include "absl/strings/str_cat.h"

namespace lanyard {

absl::Status NodeWatches::Add(const SpiffeId& agent, NodeWatch& watch) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (ended_) return absl::UnavailableError("the authority is shutting down");
  if (count_ >= max_watches_) {
    ++limit_reached_;
    return absl::ResourceExhaustedError(absl::StrCat("the authority serves ", max_watches_, " agents, its limit"));
  }
  OfAgent& own = watches_[agent];
  if (own.open.size() + own.ending.size() >= kMaxOfAgentWithEnding) {
    ++limit_reached_;
    return absl::ResourceExhaustedError(absl::StrCat(agent.ToString(), " has ", kMaxOfAgentWithEnding,
                                                     " streams that it does not read; close them first"));
  }
  if (own.open.size() >= kMaxOfAgent) {
    ++limit_reached_;
    NodeWatch* const oldest = own.open.front();
    own.open.pop_front();
    own.ending.insert(oldest);
    oldest->End(absl::ResourceExhaustedError(
        absl::StrCat(agent.ToString(), " has ", kMaxOfAgent, " newer streams, as many as an agent may have")));
  }
  own.open.push_back(&watch);
  ++count_;
  return absl::OkStatus();
}

void NodeWatches::Remove(const SpiffeId& agent, NodeWatch& watch) {
  std::lock_guard<std::mutex> lock(mutex_);
  const auto found = watches_.find(agent);
  if (found == watches_.end()) return;
  OfAgent& own = found->second;
  count_ -= std::erase(own.open, &watch) + own.ending.erase(&watch);
  if (own.open.empty() && own.ending.empty()) watches_.erase(found);
}

void NodeWatches::WakeAll() {
  std::lock_guard<std::mutex> lock(mutex_);
  for (const auto& [agent, own] : watches_) {
    for (NodeWatch* watch : own.open) watch->Wake();
  }
}

void NodeWatches::End(const SpiffeId& agent, const absl::Status& why) {
  std::lock_guard<std::mutex> lock(mutex_);
  const auto found = watches_.find(agent);
  if (found == watches_.end()) return;
  for (NodeWatch* watch : found->second.open) watch->End(why);
}

void NodeWatches::EndAll(const absl::Status& why) {
  std::lock_guard<std::mutex> lock(mutex_);
  ended_ = true;
  for (const auto& [agent, own] : watches_) {
    for (NodeWatch* watch : own.open) watch->End(why);
  }
}

uint64_t NodeWatches::limit_reached() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return limit_reached_;
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
