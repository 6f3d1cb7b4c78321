// The admin address of a process that has nothing but /live and /metrics to say: a thread and an AdminServer.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace lanyard {

// Made and destroyed by any one thread; address() may be called from any. Its own thread runs `metrics`, which must
// read what other threads change as they allow it.
class MetricsEndpoint {
 public:
  // `metrics` is called on the endpoint's thread, for every answer. A busy address is an error.
  static absl::StatusOr<std::unique_ptr<MetricsEndpoint>> Start(const std::string& address,
                                                                std::function<std::string()> metrics);
  ~MetricsEndpoint();  // joins; `metrics` is not called any more

  std::string address() const;  // with the port the kernel chose, if it did

 private:
  struct State;
  explicit MetricsEndpoint(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace lanyard
