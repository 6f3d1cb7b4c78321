// A small HTTP/1.1 server for operators: GET and HEAD, no body, text or JSON out. Boost.Beast parses.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "proxy/control/control_loop.h"
#include "proxy/io/address.h"

namespace lanyard {

struct AdminResponse {
  int status = 200;
  std::string content_type = "text/plain; charset=utf-8";
  std::string body;
};

// True for what a Host header says when somebody typed an address: an IP or "localhost", with or without a port.
// A web page that had its own name resolved to ours (DNS rebinding) says that name.
bool IsDirectHost(absl::string_view host);

// Runs on the control thread. Whoever reaches the address may read: it is loopback unless
// configured otherwise. Answers 400 (not HTTP), 403 (Host is a name), 405, 413 (a body), 431 (headers too large).
class AdminServer {
 public:
  // Once for every request, from any thread.
  using Respond = std::function<void(AdminResponse)>;
  // `path` is the request's target without the query. Called on the control thread; never blocks.
  using Handler = std::function<void(const std::string& path, Respond respond)>;

  struct Options {
    SocketAddress address;
    Handler handler;
    // Above it the longest waiting connection without a whole request is closed, or the new one if there is none.
    size_t max_connections = 32;
    size_t max_header_bytes = 8 << 10;
    // For a request to arrive whole, for an idle connection, and for the answer to be taken.
    absl::Duration timeout = absl::Seconds(10);
  };

  // Binds and listens; a busy address is an error. Accepts once `loop` runs. Destroy after loop.Stop().
  static absl::StatusOr<std::unique_ptr<AdminServer>> Create(ControlLoop& loop, Options options);
  ~AdminServer();

  // With the port the kernel chose, if it did.
  SocketAddress address() const;

  struct State;  // admin_server.cc

 private:
  explicit AdminServer(std::shared_ptr<State> state);
  std::shared_ptr<State> state_;
};

}  // namespace lanyard
