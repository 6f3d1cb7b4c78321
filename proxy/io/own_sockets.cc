#include "proxy/io/own_sockets.h"

#include <ifaddrs.h>

#include <algorithm>
#include <cstring>

namespace lanyard {
namespace {

bool SameHost(const SocketAddress& a, const SocketAddress& b) { return a.host_bytes() == b.host_bytes(); }

}  // namespace

std::vector<SocketAddress> ReadLocalHosts() {
  std::vector<SocketAddress> hosts;
  ifaddrs* all = nullptr;
  if (getifaddrs(&all) != 0) return hosts;
  for (const ifaddrs* each = all; each != nullptr; each = each->ifa_next) {
    if (each->ifa_addr == nullptr) continue;
    const sa_family_t family = each->ifa_addr->sa_family;
    if (family != AF_INET && family != AF_INET6) continue;
    sockaddr_storage storage{};
    std::memcpy(&storage, each->ifa_addr, family == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6));
    hosts.push_back(SocketAddress::FromSockaddr(storage));
  }
  freeifaddrs(all);
  return hosts;
}

OwnSockets::Key OwnSockets::KeyOf(const SocketAddress& address) {
  Key key{};
  const absl::Span<const uint8_t> host = address.host_bytes();
  if (address.is_ipv4()) key[10] = key[11] = 0xFF;  // IPv4-mapped
  std::copy(host.begin(), host.end(), key.begin() + 16 - host.size());
  key[16] = static_cast<uint8_t>(address.port() >> 8);
  key[17] = static_cast<uint8_t>(address.port());
  return key;
}

void OwnSockets::Captures(const SocketAddress& address) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (std::find(capturing_.begin(), capturing_.end(), address) == capturing_.end()) capturing_.push_back(address);
}

bool OwnSockets::CapturesAt(const SocketAddress& destination) const {
  bool at_every_address = false;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    for (const SocketAddress& own : capturing_) {
      if (own.port() != destination.port()) continue;
      if (SameHost(own, destination)) return true;
      // [::] takes both families.
      at_every_address |= own.is_unspecified() && (!own.is_ipv4() || destination.is_ipv4());
    }
  }
  if (!at_every_address) return false;
  if (destination.is_loopback() || destination.is_unspecified()) return true;
  const std::vector<SocketAddress> hosts = local_hosts_();
  return std::any_of(hosts.begin(), hosts.end(),
                     [&](const SocketAddress& host) { return SameHost(host, destination); });
}

OwnSockets::Dialled OwnSockets::Enter(const SocketAddress& local, const SocketAddress& destination, uint8_t hops) {
  const Key key = KeyOf(local);
  Shard& shard = shards_[ShardOf(key)];
  const std::lock_guard<std::mutex> lock(shard.mutex);
  return Dialled(this, shard.ways.emplace(key, Way{KeyOf(destination), hops}));
}

int OwnSockets::HopsOf(const SocketAddress& source,
                       absl::FunctionRef<std::vector<SocketAddress>()> reached) const {
  const Key key = KeyOf(source);
  std::vector<Way> ways;
  {
    const Shard& shard = shards_[ShardOf(key)];
    const std::lock_guard<std::mutex> lock(shard.mutex);
    const auto [first, last] = shard.ways.equal_range(key);
    for (auto each = first; each != last; ++each) ways.push_back(each->second);
  }
  if (ways.empty()) return 0;
  for (const SocketAddress& address : reached()) {
    for (const Way& way : ways) {
      if (way.destination == KeyOf(address)) return way.hops;
    }
  }
  return 0;
}

OwnSockets::Dialled& OwnSockets::Dialled::operator=(Dialled&& other) noexcept {
  if (this != &other) {
    Forget();
    owner_ = std::exchange(other.owner_, nullptr);
    way_ = other.way_;
  }
  return *this;
}

void OwnSockets::Dialled::Forget() {
  OwnSockets* const owner = std::exchange(owner_, nullptr);
  if (owner == nullptr) return;
  Shard& shard = owner->shards_[ShardOf(way_->first)];
  const std::lock_guard<std::mutex> lock(shard.mutex);
  shard.ways.erase(way_);
}

}  // namespace lanyard
