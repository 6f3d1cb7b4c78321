// From an accepted descriptor to a connection: where the caller meant to go, and whether there is room.
#pragma once

#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "proxy/connection/connection.h"
#include "proxy/io/listener.h"

namespace lanyard {

// Whether a captured call is one that nobody can have meant: from elsewhere, for an address of loopback, or for none.
// The kernel drops what comes from the wire for these, but not once it is redirected; here such a call would reach
// servers that listen on loopback because they are nobody else's to call.
bool IsMisdirected(ListenerKind kind, const SocketAddress& source, const SocketAddress& dialled);

// The listeners of one worker. Belongs to its thread once started.
class Acceptor {
 public:
  // Sockets that listen already, by the listener's index.
  using Sockets = std::vector<std::vector<UniqueFd>>;

  // Binds them all, but those for which there are `sockets`, and parses the static ones' destinations; accepts nothing
  // yet.
  static absl::StatusOr<std::unique_ptr<Acceptor>> Bind(WorkerContext* context, std::vector<ListenerSpec> specs,
                                                        Sockets sockets = {});

  absl::Status Start();
  // Takes those who wait already, then closes the listeners.
  void Drain();
  void Close();
  std::vector<SocketAddress> addresses() const;
  // A listener as those know it whom it accepted.
  struct Known {
    size_t index;
    const ListenerSpec* spec;
    const Destination* fixed;  // null for capture
  };
  // By name, also after Close; null spec: there is none.
  Known Find(absl::string_view name) const;
  // By the listener's index, until it is closed.
  std::vector<std::vector<int>> sockets() const;

 private:
  struct Door {
    ListenerSpec spec;
    std::unique_ptr<Destination> fixed;   // null for capture
    std::vector<std::unique_ptr<Listener>> listeners;  // more than one where a process with more workers had them
  };

  static absl::StatusOr<std::vector<std::unique_ptr<Listener>>> Open(EventLoop* loop, const ListenerSpec& spec,
                                                                     std::vector<UniqueFd> sockets);
  explicit Acceptor(WorkerContext* context) : context_(context) {}
  void Accept(size_t index, UniqueFd fd, const SocketAddress& source);
  // Where the caller meant to go, and whether that leads in a circle.
  void Trace(const Door& door, int fd, Arrival& arrival) const;
  // At most one line a second: a flood of callers must not become a flood of lines.
  bool MayLog();

  WorkerContext* context_;
  std::vector<Door> doors_;
  absl::Duration next_log_ = absl::ZeroDuration();
};

}  // namespace lanyard
