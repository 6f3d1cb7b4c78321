// This process's part of an upgrade: it starts the next one, passes it the listening sockets, and goes on as if nothing
// had happened unless that one serves. The conversation is written down in take_over.h.
#pragma once

#include <sys/types.h>

#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "proxy/io/passage.h"

namespace lanyard {

// A socket under the name by which the next process looks for it. The descriptor is borrowed.
struct HandedSocket {
  std::string kind;     // kListenerSocket, kAdminSocket or kUpgradeSocket (take_over.h)
  std::string name;     // of a listener
  std::string address;  // as configured
  int fd = -1;
};

struct HandOver {
  std::string binary;       // started as: binary run --config config --take-over 3
  std::string config;
  absl::Duration timeout;   // for the next one to be ready
  std::vector<HandedSocket> sockets;
  // The next one is ready and is about to serve; and (only then) that it came to nothing all the same.
  std::function<void()> on_ready;
  std::function<void()> on_failed;
  std::function<bool()> cancelled;  // asked every now and then
};

struct Successor {
  pid_t pid;
  Passage passage;  // to it, for the streams that move there
};

// Blocks until the next process serves. An error says why it does not, and it is gone.
absl::StatusOr<Successor> HandOverTo(const HandOver& plan);

}  // namespace lanyard
