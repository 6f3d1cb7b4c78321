// Which callers have exited, by their pidfds. A pidfd becomes readable when its process ends.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "identity/channel/local_server.h"

namespace lanyard {

// One thread uses it, except for Wake. Several ids may have one peer.
class CallerWatch {
 public:
  static absl::StatusOr<std::unique_ptr<CallerWatch>> Create();
  ~CallerWatch();
  CallerWatch(const CallerWatch&) = delete;

  // Keeps `peer` until Remove. Errors of the kernel (ResourceExhausted: too many watches).
  absl::Status Add(uint64_t id, std::shared_ptr<const LocalPeer> peer);
  void Remove(uint64_t id);

  // Waits for an exit, Wake or `timeout`; returns the ids whose process has exited. They stay until removed.
  std::vector<uint64_t> Wait(absl::Duration timeout);
  void Wake();  // thread-safe

 private:
  CallerWatch(int epoll_fd, int wake_fd) : epoll_fd_(epoll_fd), wake_fd_(wake_fd) {}

  struct Watched {
    std::shared_ptr<const LocalPeer> peer;
    std::set<uint64_t> ids;
  };

  const int epoll_fd_;
  const int wake_fd_;
  std::map<const LocalPeer*, Watched> peers_;
  std::map<uint64_t, const LocalPeer*> peer_of_;
};

}  // namespace lanyard
