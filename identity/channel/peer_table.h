// Who is at the other end of each live inner link. Private to identity/channel.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"

namespace lanyard {

// Thread-safe. A name that is not (or no longer) in it is nobody's: Find returns null.
template <typename Peer>
class PeerTable {
 public:
  void Add(const std::string& name, std::shared_ptr<const Peer> peer) {
    absl::MutexLock lock(&mutex_);
    peers_[name] = std::move(peer);
  }
  void Remove(const std::string& name) {
    absl::MutexLock lock(&mutex_);
    peers_.erase(name);
  }
  std::shared_ptr<const Peer> Find(const std::string& name) const {
    absl::MutexLock lock(&mutex_);
    const auto found = peers_.find(name);
    return found == peers_.end() ? nullptr : found->second;
  }

 private:
  mutable absl::Mutex mutex_;
  absl::flat_hash_map<std::string, std::shared_ptr<const Peer>> peers_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace lanyard
