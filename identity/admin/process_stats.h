// What this process uses of the machine, for /metrics.
#pragma once

#include <cstdint>

namespace lanyard {

struct ProcessStats {
  double cpu_seconds = 0;  // user and system, since the start
  uint64_t resident_memory_bytes = 0;
  uint64_t open_fds = 0;
  uint64_t max_fds = 0;  // soft limit
  uint64_t threads = 0;
};

// What cannot be read stays 0. Thread-safe.
ProcessStats ReadProcessStats();

}  // namespace lanyard
