#include "identity/tls/session_store.h"

#include <utility>

namespace lanyard {

bssl::UniquePtr<SSL_SESSION> SessionStore::Take(const std::string& key, absl::Time now) {
  for (auto found = by_key_.find(key); found != by_key_.end(); found = by_key_.find(key)) {
    const Entries::iterator newest = found->second.back();
    const bool valid = now <= newest->not_after;
    bssl::UniquePtr<SSL_SESSION> session = std::move(newest->session);
    Remove(newest);
    if (valid) return session;
  }
  return nullptr;
}

void SessionStore::Put(const std::string& key, bssl::UniquePtr<SSL_SESSION> session, absl::Time not_after) {
  if (max_sessions_ == 0 || max_sessions_per_key_ == 0) return;
  if (const auto found = by_key_.find(key); found != by_key_.end() && found->second.size() >= max_sessions_per_key_) {
    Remove(found->second.front());
  }
  if (entries_.size() >= max_sessions_) Remove(entries_.begin());
  entries_.push_back({key, std::move(session), not_after});
  by_key_[key].push_back(std::prev(entries_.end()));
}

void SessionStore::Remove(Entries::iterator entry) {
  const auto found = by_key_.find(entry->key);
  found->second.remove(entry);
  if (found->second.empty()) by_key_.erase(found);
  entries_.erase(entry);
}

}  // namespace lanyard
