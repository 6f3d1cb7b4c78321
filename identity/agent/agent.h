// The node process, put together: data_dir, tie to the authority, SVIDs, Workload API.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "identity/agent/config.h"
#include "identity/base/clock.h"
#include "identity/base/random.h"

namespace lanyard {

// Serves from Start until destroyed. What the data_dir holds is served at once, with or without the authority. Logs
// "listening" when the socket is there and "serving" when it has something to hand out. Borrows clock and random.
class Agent {
 public:
  // Fails when the data_dir or the socket cannot be had. An authority that does not answer is no failure.
  static absl::StatusOr<std::unique_ptr<Agent>> Start(const AgentSettings& settings, const Clock& clock,
                                                      Random& random);
  // Ends the streams, keeps what is worth keeping, removes the socket.
  ~Agent();

 private:
  struct Parts;
  explicit Agent(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace lanyard
