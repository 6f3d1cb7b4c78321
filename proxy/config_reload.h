// Watches the configuration file and hands on its rules when they change.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "proxy/config.h"
#include "proxy/control/file_watch.h"

namespace lanyard {

// On the control thread only. A file with a mistake, or one that changes something fixed (an address, a limit, the
// number of workers...), is logged and not applied at all: what runs is always one whole file.
class ConfigReload {
 public:
  struct Options {
    std::string path;
    std::string text;        // as it was read when `settings` were made
    ProxySettings settings;  // what runs
    ProxyEnvironment environment;
    std::function<void(const ProxySettings&)> apply;  // what may change of it
  };
  explicit ConfigReload(Options options);

  // Call every now and then.
  void Poll();

  uint64_t applied() const { return applied_; }
  uint64_t refused() const { return refused_; }
  // Why the file as it stands is not what runs; empty: it is.
  const std::string& refusal() const { return refusal_; }

 private:
  absl::Status Read();

  Options options_;
  FileWatch watch_;
  uint64_t applied_ = 0, refused_ = 0;
  std::string refusal_;
};

}  // namespace lanyard
