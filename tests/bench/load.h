// The loads. Each makes its connections, calls Ready(), does its work, calls Report(), and only then
// closes its connections, so that whoever reads the counters of the proxies before and after sees
// the work alone.
#pragma once

#include <netinet/in.h>

#include <cstddef>
#include <cstdint>
#include <string>

#include "tests/bench/exchange.h"
#include "tests/bench/histogram.h"
#include "tests/bench/sockets.h"

namespace lanyard::bench {

struct LoadOptions {
  sockaddr_in target = {};
  size_t connections = 1;   // open at once
  size_t size_bytes = 64;   // of a request and of its answer
  double seconds = 2;       // how long requests are started
  uint64_t count = 0;       // new connections to make
  uint64_t rate = 500;      // new connections a second
  uint64_t total_bytes = 0; // bulk
  double timeout_s = 60;    // for the whole load: then it gives up and exits 1
};

// Prints "ready" and waits for a line on standard input.
void Ready();

// Prints the result, one JSON object on a line, and waits for the end of standard input.
void Report(const std::string& json);

// "\"p50_us\": ..., \"p99_us\": ..., \"max_us\": ...".
std::string LatencyFields(const Histogram& latencies);

// When `timeout_s` from now is over.
uint64_t DeadlineNs(const LoadOptions& options);

// Opens all `connections`, tagged by their index, and waits until each has had one answer.
Exchanges OpenAll(const LoadOptions& options, Poller& poller, uint64_t deadline_ns);

// Requests one after another on each of `connections` connections, for `seconds`.
void RunRequests(const LoadOptions& options);

// `count` times: connect, one request and its answer, close; `connections` at once.
void RunNewConnections(const LoadOptions& options);

// RunRequests, while `rate` new connections a second arrive besides, each for one request and its answer, whether
// or not earlier ones were served. Latencies are those of the connections that stay.
void RunStorm(const LoadOptions& options);

// `total_bytes` in one direction over one connection.
void RunBulkUp(const LoadOptions& options);
void RunBulkDown(const LoadOptions& options);

// `connections` connections, each used once, then held open between Ready() and Report().
void RunIdle(const LoadOptions& options);

// No connection at all: what sealing and opening the records of the other loads costs by itself.
void RunAead();

}  // namespace lanyard::bench
