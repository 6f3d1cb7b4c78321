// The authority: everything put together and running.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "identity/authority/config.h"
#include "identity/base/clock.h"
#include "identity/base/random.h"

namespace lanyard {

// Start returns when agents and operators are served; the destructor stops at once. Thread-safe.
class Authority {
 public:
  // Fails closed, in one sentence: data folder in use, sealed keys or database damaged, address taken, ...
  // Borrows the clock and randomness.
  static absl::StatusOr<std::unique_ptr<Authority>> Start(const AuthoritySettings& settings, const Clock& clock,
                                                          Random& random);
  ~Authority();

  // With the real port: "[::]:7443".
  std::string agents_address() const;
  // Ends the streams, gives calls in progress up to `grace`, then closes everything.
  void Stop(absl::Duration grace);

 private:
  struct State;
  explicit Authority(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace lanyard
