// The control thread: the one thread that watches the identity and the configuration, builds MeshViews, publishes
// them, and answers the admin address. Everything in proxy/control runs on it unless it says otherwise.
#pragma once

#include <functional>
#include <memory>

#include "absl/time/time.h"

namespace boost::asio {
class io_context;
}

namespace lanyard {

class ControlLoop {
 public:
  ControlLoop();
  ~ControlLoop();  // Stop()

  // Starts the thread. What was posted before runs first, in order.
  void Start();

  // Thread-safe. Runs `task` on the control thread, in the order of the calls; dropped once stopped.
  void Post(std::function<void()> task);

  // Before Start, or on the control thread. `task` runs once after `delay`, or first after
  // `interval` and then again and again; until Stop.
  void After(absl::Duration delay, std::function<void()> task);
  void Every(absl::Duration interval, std::function<void()> task);

  // From any other thread; idempotent. Finishes the task that runs, drops the rest, joins.
  void Stop();

  // For those who speak on the network from the control thread (admin_server.cc).
  boost::asio::io_context& context();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace lanyard
