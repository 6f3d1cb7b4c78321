// Where this process takes what is captured and what it has dialled, so that a connection with itself is known.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "proxy/io/address.h"

namespace lanyard {

// The addresses of this machine's interfaces, with port 0. Empty where the kernel does not tell.
std::vector<SocketAddress> ReadLocalHosts();

// Thread-safe: the workers of a process share one. Outlives what it is told of.
class OwnSockets {
  using Key = std::array<uint8_t, 18>;  // host as IPv6, and port
  struct Way {
    Key destination;
    uint8_t hops;
  };
  using Ways = std::multimap<Key, Way>;  // by where they were dialled from

 public:
  // An entry, for as long as it lives.
  class Dialled {
   public:
    Dialled() = default;
    Dialled(Dialled&& other) noexcept : owner_(std::exchange(other.owner_, nullptr)), way_(other.way_) {}
    Dialled& operator=(Dialled&& other) noexcept;
    ~Dialled() { Forget(); }
    void Forget();

   private:
    friend class OwnSockets;
    Dialled(OwnSockets* owner, Ways::iterator way) : owner_(owner), way_(way) {}
    OwnSockets* owner_ = nullptr;
    Ways::iterator way_;
  };

  explicit OwnSockets(std::function<std::vector<SocketAddress>()> local_hosts = ReadLocalHosts)
      : local_hosts_(std::move(local_hosts)) {}

  // A listener for captured connections. Once or more.
  void Captures(const SocketAddress& address);
  // Whether who dials this reaches such a listener. Asks the kernel for this machine's addresses only where that hangs
  // on them: where one listens at the same port of every address.
  bool CapturesAt(const SocketAddress& destination) const;

  // A connection was dialled from `local`; `hops` is what HopsOf gives for it, 1 at least.
  Dialled Enter(const SocketAddress& local, const SocketAddress& destination, uint8_t hops);
  // Of an accepted connection: how often this process has passed it on to itself; 0, if we did not dial it. A port may
  // be used for several connections at once, so where the caller meant to go (`reached`, one of these) counts as
  // well; it is asked for only when we have dialled from `source`. Another worker may be asked before the one that
  // dials has told: the count then begins anew, and a loop goes on until one is asked in time.
  int HopsOf(const SocketAddress& source, absl::FunctionRef<std::vector<SocketAddress>()> reached) const;

 private:
  static Key KeyOf(const SocketAddress& address);

  // The workers' dials and accepts rarely wait for each other: each port has its shard.
  struct Shard {
    mutable std::mutex mutex;
    Ways ways ABSL_GUARDED_BY(mutex);
  };
  static constexpr size_t kShards = 16;
  static size_t ShardOf(const Key& local) { return local.back() % kShards; }

  const std::function<std::vector<SocketAddress>()> local_hosts_;
  mutable std::mutex mutex_;
  std::vector<SocketAddress> capturing_ ABSL_GUARDED_BY(mutex_);
  std::array<Shard, kShards> shards_;
};

}  // namespace lanyard
