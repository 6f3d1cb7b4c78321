// How many connections each peer, or each source, has in the whole process.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/hash/hash.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "proxy/io/address.h"

namespace lanyard {

class Places;

// One that is held; given back when destroyed. Dies before its Places.
class Place {
 public:
  Place() = default;
  Place(Place&& other) noexcept : places_(std::exchange(other.places_, nullptr)), key_(std::move(other.key_)) {}
  Place& operator=(Place&& other) noexcept;
  ~Place() { GiveBack(); }

  void GiveBack();
  bool held() const { return places_ != nullptr; }

 private:
  friend class Places;
  Places* places_ = nullptr;
  std::string key_;
};

// Thread-safe: the connections of one peer are on all workers, so that the count is shared, in shards by key. A key is
// in the table while somebody holds a place by it: there are never more keys than connections.
class Places {
 public:
  // Zero: no limit, and nothing is counted.
  explicit Places(uint32_t most_each) : most_each_(most_each) {}

  // False: `key` has as many as it may. A place held before is given back first.
  bool Take(absl::string_view key, Place* place);
  uint32_t most_each() const { return most_each_; }
  size_t keys() const;

 private:
  friend class Place;
  static constexpr size_t kShards = 16;
  struct Shard {
    mutable absl::Mutex mutex;
    absl::flat_hash_map<std::string, uint32_t> held ABSL_GUARDED_BY(mutex);
  };
  Shard& ShardOf(absl::string_view key) { return shards_[absl::Hash<absl::string_view>()(key) % kShards]; }
  void GiveBack(const std::string& key);

  const uint32_t most_each_;
  std::array<Shard, kShards> shards_;
};

// What one host is counted by: its IPv4 address, or the /64 of its IPv6 address, in all of which it may choose.
std::string SourceKey(const SocketAddress& source);

// Of a process; its workers share them.
struct InboundPlaces {
  InboundPlaces(uint32_t per_peer, uint32_t per_source) : by_peer(per_peer), by_source(per_source) {}
  Places by_peer;    // connections and streams let in, by SPIFFE ID
  Places by_source;  // connections whose caller is not known yet, by address
};

}  // namespace lanyard
