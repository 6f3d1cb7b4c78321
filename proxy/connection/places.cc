#include "proxy/connection/places.h"

#include <algorithm>

namespace lanyard {
namespace {

constexpr size_t kIpv6HostPrefixBytes = 8;

}  // namespace

Place& Place::operator=(Place&& other) noexcept {
  if (this == &other) return *this;
  GiveBack();
  places_ = std::exchange(other.places_, nullptr);
  key_ = std::move(other.key_);
  return *this;
}

void Place::GiveBack() {
  if (Places* const places = std::exchange(places_, nullptr)) places->GiveBack(key_);
}

bool Places::Take(absl::string_view key, Place* place) {
  place->GiveBack();
  if (most_each_ == 0) return true;
  Shard& shard = ShardOf(key);
  {
    absl::MutexLock lock(&shard.mutex);
    uint32_t& held = shard.held[key];
    if (held >= most_each_) return false;  // so it was there before
    ++held;
  }
  place->places_ = this;
  place->key_ = std::string(key);
  return true;
}

void Places::GiveBack(const std::string& key) {
  Shard& shard = ShardOf(key);
  absl::MutexLock lock(&shard.mutex);
  const auto found = shard.held.find(key);
  if (--found->second == 0) shard.held.erase(found);
}

size_t Places::keys() const {
  size_t count = 0;
  for (const Shard& shard : shards_) {
    absl::MutexLock lock(&shard.mutex);
    count += shard.held.size();
  }
  return count;
}

std::string SourceKey(const SocketAddress& source) {
  const absl::Span<const uint8_t> host = source.host_bytes();
  const size_t counted = source.is_ipv4() ? host.size() : std::min(host.size(), kIpv6HostPrefixBytes);
  return std::string(host.begin(), host.begin() + counted);
}

}  // namespace lanyard
