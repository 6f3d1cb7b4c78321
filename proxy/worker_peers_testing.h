// What stands around a pair of workers in a test: callers, servers and TLS clients on blocking sockets.
#pragma once

#include <netinet/in.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>

#include <atomic>
#include <cerrno>
#include <functional>
#include <list>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "absl/time/clock.h"
#include "gtest/gtest.h"
#include "identity/spiffe/fake_ca.h"
#include "proxy/io/address.h"
#include "proxy/io/socket.h"
#include "proxy/io/unique_fd.h"

namespace lanyard {

constexpr int kPatienceSeconds = 20;

// Asks until `done`, for a bounded time.
inline bool Eventually(const std::function<bool()>& done) {
  const absl::Time deadline = absl::Now() + absl::Seconds(kPatienceSeconds);
  while (!done()) {
    if (absl::Now() > deadline) return false;
    poll(nullptr, 0, 2);
  }
  return true;
}

// A blocking socket whose calls give up after kPatienceSeconds.
class Caller {
 public:
  explicit Caller(UniqueFd fd) : fd_(std::move(fd)) { Bound(); }
  explicit Caller(const SocketAddress& address, int receive_buffer_bytes = 0)
      : fd_(socket(address.is_ipv4() ? AF_INET : AF_INET6, SOCK_STREAM, 0)) {
    Bound();
    if (receive_buffer_bytes > 0) {
      setsockopt(fd_.get(), SOL_SOCKET, SO_RCVBUF, &receive_buffer_bytes, sizeof(receive_buffer_bytes));
    }
    EXPECT_EQ(connect(fd_.get(), address.raw(), address.raw_size()), 0) << address.ToString();
  }

  int fd() const { return fd_.get(); }
  bool Send(const std::string& text) {
    for (size_t at = 0; at < text.size();) {
      const ssize_t count = send(fd_.get(), text.data() + at, text.size() - at, MSG_NOSIGNAL);
      if (count <= 0) return false;
      at += static_cast<size_t>(count);
    }
    return true;
  }
  void Finish() { shutdown(fd_.get(), SHUT_WR); }
  void Reset() {
    ResetOnClose(fd_.get());
    fd_.Reset();
  }
  // Exactly this many bytes, or fewer when the stream ends or fails before.
  std::string Read(size_t size_bytes) {
    std::string text(size_bytes, '\0');
    size_t at = 0;
    while (at < size_bytes) {
      const ssize_t count = recv(fd_.get(), text.data() + at, size_bytes - at, 0);
      if (count <= 0) break;
      at += static_cast<size_t>(count);
    }
    text.resize(at);
    return text;
  }
  // Everything up to the end, and how it ended: "end", "reset", "timeout" or another error.
  std::pair<std::string, std::string> ReadAll() {
    std::string text;
    char block[65536];
    for (;;) {
      const ssize_t count = recv(fd_.get(), block, sizeof(block), 0);
      if (count == 0) return {text, "end"};
      if (count < 0) return {text, errno == ECONNRESET ? "reset" : errno == EAGAIN ? "timeout" : "error"};
      text.append(block, static_cast<size_t>(count));
    }
  }
  std::string HowItEnds() { return ReadAll().second; }

 private:
  void Bound() {
    const timeval patience = {kPatienceSeconds, 0};
    setsockopt(fd_.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    setsockopt(fd_.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
  }
  UniqueFd fd_;
};

// Serves each connection on a thread of its own.
class Server {
 public:
  using Handler = std::function<void(Caller&)>;

  explicit Server(Handler handler) : handler_(std::move(handler)), fd_(socket(AF_INET, SOCK_STREAM, 0)) {
    const SocketAddress any = SocketAddress::Parse("127.0.0.1:0").value();
    EXPECT_EQ(bind(fd_.get(), any.raw(), any.raw_size()), 0);
    EXPECT_EQ(listen(fd_.get(), 128), 0);
    address_ = std::make_unique<SocketAddress>(LocalAddress(fd_.get()).value());
    accepting_ = std::thread([this] { Accept(); });
  }
  ~Server() {
    shutdown(fd_.get(), SHUT_RDWR);
    accepting_.join();
    for (std::thread& thread : serving_) thread.join();
  }
  const SocketAddress& address() const { return *address_; }
  int accepted() const { return accepted_.load(); }

  static void Echo(Caller& caller) {
    char block[65536];
    for (;;) {
      const ssize_t count = recv(caller.fd(), block, sizeof(block), 0);
      if (count <= 0 || !caller.Send(std::string(block, static_cast<size_t>(count)))) return;
    }
  }

 private:
  void Accept() {
    for (;;) {
      UniqueFd fd(accept(fd_.get(), nullptr, nullptr));
      if (!fd.valid()) return;
      ++accepted_;
      serving_.emplace_back([this, caller = std::make_shared<Caller>(std::move(fd))]() mutable {
        handler_(*caller);
        caller.reset();
      });
    }
  }
  Handler handler_;
  UniqueFd fd_;
  std::unique_ptr<SocketAddress> address_;
  std::atomic<int> accepted_{0};
  std::list<std::thread> serving_;
  std::thread accepting_;
};

// A TLS client that is not ours: shows whatever certificate it is given, trusts everybody.
class ForeignTlsClient {
 public:
  ForeignTlsClient(const SocketAddress& address, const FakeLeaf* leaf) : caller_(address) {
    ctx_.reset(SSL_CTX_new(TLS_method()));
    SSL_CTX_set_custom_verify(ctx_.get(), SSL_VERIFY_PEER, [](SSL*, uint8_t*) { return ssl_verify_ok; });
    if (leaf != nullptr) {
      EXPECT_EQ(SSL_CTX_use_certificate(ctx_.get(), leaf->chain.front().x509()), 1);
      for (size_t i = 1; i < leaf->chain.size(); ++i) {
        EXPECT_EQ(SSL_CTX_add1_chain_cert(ctx_.get(), leaf->chain[i].x509()), 1);
      }
      EXPECT_EQ(SSL_CTX_use_PrivateKey(ctx_.get(), leaf->key.get()), 1);
    }
    ssl_.reset(SSL_new(ctx_.get()));
    SSL_set_fd(ssl_.get(), caller_.fd());
    connected_ = SSL_connect(ssl_.get()) == 1;
  }
  // What the other side answers to `text`; "" when it refuses.
  std::string Ask(const std::string& text) {
    if (!connected_ || SSL_write(ssl_.get(), text.data(), static_cast<int>(text.size())) <= 0) return "";
    char block[4096];
    const int count = SSL_read(ssl_.get(), block, sizeof(block));
    return count > 0 ? std::string(block, static_cast<size_t>(count)) : "";
  }
  SSL* ssl() { return ssl_.get(); }
  Caller& caller() { return caller_; }

 private:
  Caller caller_;
  bssl::UniquePtr<SSL_CTX> ctx_;
  bssl::UniquePtr<SSL> ssl_;
  bool connected_ = false;
};

}  // namespace lanyard
