// The next process's part of an upgrade: it takes the listening sockets of the one before it.
//
//   before -> next   kHandOverGreeting; "socket\nKIND\nNAME\nADDRESS" with a descriptor, for each; "end". One of
//                    kViewMark stands for nothing but that the one before has a view of the mesh: the next one waits
//                    for one as well. (To a version that does not know this it is a socket of no use.)
//   next -> before   "waiting\nWHY" whenever that changes; "failed\nWHY" and its end; or "ready"
//   before -> next   "go": the one before keeps nothing on disk any more
//   next -> before   "serving": the one before stops accepting, and drains; from here on the passage is the streams'
//                    that move (proxy/connection/move_message.h)
// Whoever sees the other end closed before "serving" knows that it came to nothing: the one before goes on, the next
// one ends.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "proxy/io/passage.h"

namespace lanyard {

inline constexpr char kHandOverGreeting[] = "lanyard-upgrade 1";
inline constexpr char kListenerSocket[] = "listener";
inline constexpr char kAdminSocket[] = "admin";
inline constexpr char kUpgradeSocket[] = "upgrade";
inline constexpr char kViewMark[] = "view";

// For one thread at a time. Blocks, for as long as the other process takes to answer.
class TakeOver {
 public:
  // 256 workers with 16 listeners each.
  static constexpr size_t kMaxSockets = 4096;
  static constexpr absl::Duration kTimeout = absl::Seconds(15);

  // Reads what is passed. Sockets that came more than once are taken once.
  static absl::StatusOr<std::unique_ptr<TakeOver>> Receive(Passage passage);

  // The sockets that were opened for `address` as configured (and, where the kernel chose the port, under this name);
  // they are the caller's. What is not taken is closed with this.
  std::vector<UniqueFd> Take(absl::string_view kind, absl::string_view name, absl::string_view address);

  // Not ready yet: an error if the process before is gone, or has given up.
  absl::Status Wait(absl::string_view why);
  // Ready: OK once this process is to serve.
  absl::Status Ready();
  void Serving();
  // Then, for the streams that come.
  UniqueFd Release() { return passage_.Release(); }
  void Failed(const absl::Status& why);

 private:
  struct Socket {
    std::string kind, name, address;
    UniqueFd fd;
  };
  explicit TakeOver(Passage passage) : passage_(std::move(passage)) {}
  absl::Status ReceiveSockets();
  absl::Status Add(Passage::Message message);

  Passage passage_;
  std::vector<Socket> sockets_;
  std::string last_wait_;
};

// Deals the sockets of one listener out to workers: each has one at least, and all of them are somebody's. Workers
// beyond the number of sockets share one by a descriptor of their own. Empty where there is none to deal.
std::vector<std::vector<UniqueFd>> DealSockets(std::vector<UniqueFd> sockets, size_t workers);

}  // namespace lanyard
