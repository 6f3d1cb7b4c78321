// A small HTTP/1.1 server for operators: GET and HEAD, no body, text or JSON out. Boost.Beast parses.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace boost::asio {
class io_context;
}

namespace lanyard {

struct AdminRequest {
  std::string path;        // "/metrics"
  std::string query = {};  // what stands behind '?', as it was sent
};

// The body of an answer that goes on: parts are written as they come, until the reader leaves. Used on the server's
// thread; destroyed when the reader is gone.
class AdminStream {
 public:
  virtual ~AdminStream() = default;
  // What is to be written next. Empty: nothing yet, and `OnMore`'s callback is called when there is.
  virtual std::string Take() = 0;
  // Before the first Take.
  virtual void OnMore(std::function<void()> more) = 0;
};

struct AdminResponse {
  int status = 200;
  std::string content_type = "text/plain; charset=utf-8";
  std::string body = {};
  std::shared_ptr<AdminStream> stream = nullptr;  // instead of `body`
};

// True for what a Host header says when somebody typed an address: an IP or "localhost", with or without a port.
// A web page that had its own name resolved to ours (DNS rebinding) says that name.
bool IsDirectHost(absl::string_view host);

// Runs on the thread of `context`. Whoever reaches the address may read: it is loopback unless
// configured otherwise. Answers 400 (not HTTP), 403 (Host is a name), 405, 413 (a body), 431 (headers too large).
class AdminServer {
 public:
  // Once for every request, from any thread.
  using Respond = std::function<void(AdminResponse)>;
  // Called on the server's thread; never blocks.
  using Handler = std::function<void(const AdminRequest& request, Respond respond)>;

  struct Options {
    std::string address;  // "127.0.0.1:15000", "[::1]:15000"
    Handler handler;
    // Above it the longest waiting connection without a whole request is closed, or the new one if there is none.
    size_t max_connections = 32;
    size_t max_header_bytes = 8 << 10;
    // For a request to arrive whole, for an idle connection, and for the answer to be taken.
    absl::Duration timeout = absl::Seconds(10);
    // For a part of a stream to be taken.
    absl::Duration stream_timeout = absl::Minutes(5);
  };

  // Binds and listens; a busy address is an error. Accepts once `context` runs. Destroy when it runs no more.
  static absl::StatusOr<std::unique_ptr<AdminServer>> Create(boost::asio::io_context& context, Options options);
  ~AdminServer();

  // A socket that listens already, as the process before this one opened it, instead of options.address. It is
  // borrowed: the server has a descriptor of its own for it.
  static absl::StatusOr<std::unique_ptr<AdminServer>> Adopt(boost::asio::io_context& context, Options options,
                                                            int listening);

  // With the port the kernel chose, if it did.
  std::string address() const;
  bool is_loopback() const;
  int listening() const;  // the socket; borrowed
  // Accepts nobody any more and closes the socket, which another process has as well; open connections go on.
  void Leave();

  struct State;  // admin_server.cc

 private:
  explicit AdminServer(std::shared_ptr<State> state);
  std::shared_ptr<State> state_;
};

}  // namespace lanyard
