// The proxy put together: workers that carry connections, and the control thread that tells them
// who we are and what is allowed. The only place that knows both sides.
//
// Threads: the workers (worker.h), the control thread (control_loop.h), those of gRPC while the
// identity comes from the Workload API, and the caller's.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "identity/base/clock.h"
#include "proxy/config.h"
#include "proxy/control/take_over.h"

namespace lanyard {

// How another process may take over from this one.
struct UpgradeOptions {
  std::string binary;         // what this process was started from
  std::string refusal;        // not empty: why that cannot be
  std::string notify_socket;  // of systemd; empty: none
};

// Create, Start, Drain and the destructor are for one thread.
class Proxy {
 public:
  struct Options {
    std::string config_path;
    std::string config_text;  // what stood there
    ProxySettings settings;   // what that means
    ProxyEnvironment environment;
    const Clock* clock = nullptr;                            // borrowed
    absl::Duration poll_interval = absl::Milliseconds(500);  // of files
    // Of the process that serves until this one can; borrowed. Null: there is none.
    TakeOver* take_over = nullptr;
    UpgradeOptions upgrade = {};
  };

  // Binds every address, or takes it over: a busy one is an error, before anything has started.
  static absl::StatusOr<std::unique_ptr<Proxy>> Create(Options options);
  ~Proxy();

  // Starts to look for an identity; connections are accepted from the first one on.
  void Start();

  // Looks at the configuration file now, and opens the access log's file anew (it may have been renamed).
  void Reload();

  // Stops accepting (/ready says 503), waits until no connection is left or drain_deadline has passed, and closes
  // what is left. True if nothing was.
  bool Drain();

 private:
  struct State;
  explicit Proxy(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace lanyard
