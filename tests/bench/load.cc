#include "tests/bench/load.h"

#include <unistd.h>

#include <cstdio>

namespace lanyard::bench {
namespace {

// The next byte of standard input; -1 at its end. Unbuffered, because the caller may hold the pipe open.
int NextByte() {
  char byte;
  return read(STDIN_FILENO, &byte, 1) == 1 ? byte : -1;
}

}  // namespace

void Ready() {
  printf("ready\n");
  fflush(stdout);
  for (int byte = NextByte(); byte != '\n'; byte = NextByte()) {
    if (byte < 0) Die("standard input ended before the word to go");
  }
}

void Report(const std::string& json) {
  printf("%s\n", json.c_str());
  fflush(stdout);
  while (NextByte() >= 0) {
  }
}

std::string LatencyFields(const Histogram& latencies) {
  char text[128];
  snprintf(text, sizeof text, "\"p50_us\": %.1f, \"p99_us\": %.1f, \"max_us\": %.1f",
           static_cast<double>(latencies.PercentileNs(50)) / 1e3, static_cast<double>(latencies.PercentileNs(99)) / 1e3,
           static_cast<double>(latencies.max_ns()) / 1e3);
  return text;
}

}  // namespace lanyard::bench
