#include "identity/admin/admin_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace lanyard {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

constexpr int kPatienceMs = 20'000;

// A blocking TCP client that never waits for longer than the test's patience.
class Client {
 public:
  explicit Client(const std::string& address) : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    const timeval patience = {kPatienceMs / 1000, 0};
    setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    sockaddr_in to = {};
    to.sin_family = AF_INET;
    to.sin_port = htons(static_cast<uint16_t>(std::stoi(address.substr(address.find(':') + 1))));
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(connect(fd_, reinterpret_cast<const sockaddr*>(&to), sizeof(to)), 0);
  }
  ~Client() { close(fd_); }
  Client(const Client&) = delete;

  void Send(absl::string_view bytes) {
    // A server that has answered and closed is no failure of the client.
    send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
  }
  void EndSending() { shutdown(fd_, SHUT_WR); }

  // One response, by its Content-Length; "" at the end of the stream.
  std::string Receive(bool head = false) {
    size_t headers;
    while ((headers = buffer_.find("\r\n\r\n")) == std::string::npos) {
      if (!Fill()) return std::exchange(buffer_, "");
    }
    size_t total = headers + 4;
    const size_t length = buffer_.find("Content-Length: ");
    if (!head && length != std::string::npos && length < headers) total += std::stoul(buffer_.substr(length + 16));
    while (buffer_.size() < total) {
      if (!Fill()) return std::exchange(buffer_, "");
    }
    std::string response = buffer_.substr(0, total);
    buffer_.erase(0, total);
    return response;
  }

  // What has come up to and with `end`.
  std::string ReceiveUntil(absl::string_view end) {
    size_t at;
    while ((at = buffer_.find(std::string(end))) == std::string::npos) {
      if (!Fill()) return std::exchange(buffer_, "");
    }
    std::string received = buffer_.substr(0, at + end.size());
    buffer_.erase(0, at + end.size());
    return received;
  }

  // True once the server has closed.
  bool Closed() {
    while (Fill()) {
    }
    return errno_ != EAGAIN;
  }

 private:
  bool Fill() {
    char bytes[4096];
    const ssize_t size = recv(fd_, bytes, sizeof(bytes), 0);
    errno_ = size < 0 ? errno : 0;
    if (size <= 0) return false;
    buffer_.append(bytes, static_cast<size_t>(size));
    return true;
  }

  const int fd_;
  int errno_ = 0;
  std::string buffer_;
};

std::string Get(absl::string_view path, absl::string_view host = "127.0.0.1:15000") {
  return absl::StrCat("GET ", path, " HTTP/1.1\r\nHost: ", host, "\r\n\r\n");
}

class AdminServerTest : public testing::Test {
 protected:
  ~AdminServerTest() override {
    context_.stop();
    if (thread_.joinable()) thread_.join();
    server_.reset();
  }

  void Serve(AdminServer::Handler handler, size_t max_connections = 32, absl::Duration timeout = absl::Seconds(20)) {
    server_ = AdminServer::Create(context_, {.address = "127.0.0.1:0",
                                             .handler = std::move(handler),
                                             .max_connections = max_connections,
                                             .timeout = timeout})
                  .value();
    thread_ = std::thread([this] { context_.run(); });
  }
  void ServePath() {
    Serve([](const AdminRequest& request, AdminServer::Respond respond) { respond({.body = "at " + request.path}); });
  }

  boost::asio::io_context context_;
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_{context_.get_executor()};
  std::thread thread_;
  std::unique_ptr<AdminServer> server_;
};

// Gives out what Add was told, as it comes. Add is for any thread.
class Parts : public AdminStream {
 public:
  Parts(boost::asio::io_context& context, std::function<void()> on_gone)
      : context_(context), on_gone_(std::move(on_gone)) {}
  ~Parts() override { on_gone_(); }
  std::string Take() override { return std::exchange(waiting_, ""); }
  void OnMore(std::function<void()> more) override { more_ = std::move(more); }
  static void Add(const std::weak_ptr<Parts>& to, const std::string& text) {
    const std::shared_ptr<Parts> parts = to.lock();
    ASSERT_NE(parts, nullptr);
    boost::asio::post(parts->context_, [to, text] {
      const std::shared_ptr<Parts> here = to.lock();
      if (here == nullptr) return;
      here->waiting_ += text;
      if (here->more_) here->more_();
    });
  }

 private:
  boost::asio::io_context& context_;
  const std::function<void()> on_gone_;
  std::string waiting_ = "first\n";
  std::function<void()> more_;
};

TEST_F(AdminServerTest, AStreamGoesOnUntilItsReaderLeaves) {
  absl::Mutex mutex;
  bool gone = false;
  std::weak_ptr<Parts> parts;
  Serve([&](const AdminRequest& request, AdminServer::Respond respond) {
    EXPECT_EQ(request.query, "port=80&x=%20");
    auto made = std::make_shared<Parts>(context_, [&] {
      absl::MutexLock lock(&mutex);
      gone = true;
    });
    {
      absl::MutexLock lock(&mutex);
      parts = made;
    }
    respond({.content_type = "application/x-ndjson", .stream = std::move(made)});
  });
  {
    Client client(server_->address());
    client.Send(Get("/tap?port=80&x=%20"));
    EXPECT_THAT(client.Receive(), HasSubstr("Transfer-Encoding: chunked\r\n"));
    EXPECT_EQ(client.ReceiveUntil("first\n\r\n"), "6\r\nfirst\n\r\n");
    std::weak_ptr<Parts> held;
    {
      absl::MutexLock lock(&mutex);
      held = parts;
    }
    Parts::Add(held, "second\n");
    EXPECT_EQ(client.ReceiveUntil("second\n\r\n"), "7\r\nsecond\n\r\n");
  }
  absl::MutexLock lock(&mutex);
  EXPECT_TRUE(mutex.AwaitWithTimeout(absl::Condition(&gone), absl::Milliseconds(kPatienceMs)));
}

// As in an upgrade, with both servers in one process.
TEST_F(AdminServerTest, AnotherTakesItsSocketOverAndItsOwnConnectionsGoOn) {
  ServePath();
  const std::string address = server_->address();
  Client before(address);
  before.Send("GET /first HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
  EXPECT_THAT(before.Receive(), HasSubstr("at /first"));
  std::unique_ptr<AdminServer> next;
  absl::Mutex mutex;
  bool done = false;
  boost::asio::post(context_, [&] {
    AdminServer::Options options;
    options.handler = [](const AdminRequest&, AdminServer::Respond respond) { respond({.body = "from the next"}); };
    next = AdminServer::Adopt(context_, std::move(options), server_->listening()).value();
    server_->Leave();
    absl::MutexLock lock(&mutex);
    done = true;
  });
  {
    absl::MutexLock lock(&mutex);
    mutex.Await(absl::Condition(&done));
  }
  EXPECT_EQ(next->address(), address);
  Client after(address);
  after.Send("GET /second HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
  EXPECT_THAT(after.Receive(), HasSubstr("from the next"));
  before.Send("GET /third HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
  EXPECT_THAT(before.Receive(), HasSubstr("at /third"));
  context_.stop();
  thread_.join();
}

TEST_F(AdminServerTest, AStreamIsForHttp11) {
  Serve([&](const AdminRequest&, AdminServer::Respond respond) {
    respond({.stream = std::make_shared<Parts>(context_, [] {})});
  });
  Client client(server_->address());
  client.Send("GET /tap HTTP/1.0\r\n\r\n");
  EXPECT_THAT(client.Receive(), StartsWith("HTTP/1.0 400 "));
}

TEST_F(AdminServerTest, AnswersAndKeepsTheConnection) {
  ServePath();
  Client client(server_->address());
  for (const char* path : {"/live", "/ready"}) {
    client.Send(Get(path));
    const std::string response = client.Receive();
    EXPECT_THAT(response, StartsWith("HTTP/1.1 200 OK\r\n"));
    EXPECT_THAT(response, HasSubstr("Cache-Control: no-store\r\n"));
    EXPECT_THAT(response, testing::EndsWith(absl::StrCat("\r\n\r\nat ", path)));
  }
}

TEST_F(AdminServerTest, AnswersFromAnotherThread) {
  std::thread other;
  Serve([&other](const AdminRequest&, AdminServer::Respond respond) {
    other = std::thread([respond = std::move(respond)] { respond({503, "text/plain", "later"}); });
  });
  Client client(server_->address());
  client.Send(Get("/x"));
  EXPECT_THAT(client.Receive(), StartsWith("HTTP/1.1 503 "));
  other.join();
}

TEST_F(AdminServerTest, ARequestMayArriveByteByByte) {
  ServePath();
  Client client(server_->address());
  for (const char byte : Get("/slow")) client.Send(absl::string_view(&byte, 1));
  EXPECT_THAT(client.Receive(), HasSubstr("at /slow"));
}

TEST_F(AdminServerTest, PipelinedRequestsAreAnsweredInOrder) {
  ServePath();
  Client client(server_->address());
  client.Send(absl::StrCat(Get("/1"), Get("/2"), Get("/3")));
  EXPECT_THAT(client.Receive(), HasSubstr("at /1"));
  EXPECT_THAT(client.Receive(), HasSubstr("at /2"));
  EXPECT_THAT(client.Receive(), HasSubstr("at /3"));
}

TEST_F(AdminServerTest, TheQueryIsNotPartOfThePath) {
  ServePath();
  Client client(server_->address());
  client.Send(Get("/metrics?name[]=x"));
  EXPECT_THAT(client.Receive(), testing::EndsWith("at /metrics"));
}

TEST_F(AdminServerTest, HeadHasNoBody) {
  ServePath();
  Client client(server_->address());
  client.Send("HEAD /live HTTP/1.1\r\nHost: localhost\r\n\r\n");
  const std::string response = client.Receive(/*head=*/true);
  EXPECT_THAT(response, HasSubstr("Content-Length: 8\r\n"));
  client.Send(Get("/next"));
  EXPECT_THAT(client.Receive(), StartsWith("HTTP/1.1 200 OK\r\n"));
}

TEST_F(AdminServerTest, Http10WithoutHostIsAnsweredAndClosed) {
  ServePath();
  Client client(server_->address());
  client.Send("GET /live HTTP/1.0\r\n\r\n");
  EXPECT_THAT(client.Receive(), HasSubstr("at /live"));
  EXPECT_TRUE(client.Closed());
}

TEST_F(AdminServerTest, OtherMethodsAreRefused) {
  ServePath();
  Client client(server_->address());
  client.Send("DELETE /connections HTTP/1.1\r\nHost: localhost\r\n\r\n");
  const std::string response = client.Receive();
  EXPECT_THAT(response, StartsWith("HTTP/1.1 405 "));
  EXPECT_THAT(response, HasSubstr("Allow: GET, HEAD\r\n"));
}

TEST_F(AdminServerTest, ABodyIsRefused) {
  ServePath();
  Client client(server_->address());
  client.Send("POST /live HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello");
  EXPECT_THAT(client.Receive(), StartsWith("HTTP/1.1 413 "));
  EXPECT_TRUE(client.Closed());
}

TEST_F(AdminServerTest, HeadersTooLargeAreRefused) {
  ServePath();
  Client client(server_->address());
  client.Send(absl::StrCat("GET / HTTP/1.1\r\nHost: localhost\r\nX: ", std::string(64 << 10, 'x')));
  EXPECT_THAT(client.Receive(), StartsWith("HTTP/1.1 431 "));
}

TEST_F(AdminServerTest, WhatIsNotHttpIsRefused) {
  ServePath();
  Client client(server_->address());
  client.Send("\x16\x03\x01\x02\x00\x01\x00 hello\r\n\r\n");
  EXPECT_THAT(client.Receive(), StartsWith("HTTP/1.1 400 "));
  EXPECT_TRUE(client.Closed());
}

TEST_F(AdminServerTest, AWebPagesNameIsRefused) {
  ServePath();
  Client client(server_->address());
  client.Send(Get("/connections", "evil.example:15000"));
  EXPECT_THAT(client.Receive(), StartsWith("HTTP/1.1 403 "));
  client.Send("GET /connections HTTP/1.1\r\n\r\n");
  EXPECT_THAT(client.Receive(), StartsWith("HTTP/1.1 403 "));
}

TEST_F(AdminServerTest, AClientThatGivesUpHalfWayIsForgotten) {
  ServePath();
  Client client(server_->address());
  client.Send("GET /live HT");
  client.EndSending();
  EXPECT_TRUE(client.Closed());
}

TEST_F(AdminServerTest, ARequestThatNeverEndsIsTimedOut) {
  Serve([](const AdminRequest&, AdminServer::Respond respond) { respond({}); }, 32, absl::Milliseconds(50));
  Client slow(server_->address()), silent(server_->address());
  slow.Send("GET /live HTTP/1.1\r\nHost: ");
  EXPECT_TRUE(slow.Closed());
  EXPECT_TRUE(silent.Closed());
}

TEST_F(AdminServerTest, TooManySlowConnectionsDoNotKeepAnybodyOut) {
  Serve([](const AdminRequest&, AdminServer::Respond respond) { respond({.body = "served"}); }, 2);
  Client first(server_->address()), second(server_->address());
  first.Send("GET /");
  second.Send("GET /");
  Client third(server_->address());
  third.Send(Get("/live"));
  EXPECT_THAT(third.Receive(), HasSubstr("served"));
  EXPECT_TRUE(first.Closed());
}

TEST_F(AdminServerTest, WhileEveryConnectionIsBeingAnsweredANewOneIsClosed) {
  absl::Mutex mutex;
  std::vector<AdminServer::Respond> held;
  Serve(
      [&](const AdminRequest&, AdminServer::Respond respond) {
        absl::MutexLock lock(&mutex);
        held.push_back(std::move(respond));
      },
      1);
  Client busy(server_->address());
  busy.Send(Get("/connections"));
  {
    absl::MutexLock lock(&mutex);
    const auto asked = [&] { return !held.empty(); };
    ASSERT_TRUE(mutex.AwaitWithTimeout(absl::Condition(&asked), absl::Milliseconds(kPatienceMs)));
  }
  Client late(server_->address());
  EXPECT_TRUE(late.Closed());
  held[0]({.body = "at last"});
  EXPECT_THAT(busy.Receive(), HasSubstr("at last"));
}

TEST_F(AdminServerTest, ABusyAddressIsAnErrorThatNamesIt) {
  ServePath();
  const absl::StatusOr<std::unique_ptr<AdminServer>> second = AdminServer::Create(
      context_, {.address = server_->address(), .handler = [](const AdminRequest&, AdminServer::Respond) {}});
  ASSERT_FALSE(second.ok());
  EXPECT_THAT(second.status().message(), HasSubstr(server_->address()));
}

TEST(IsDirectHost, AddressesAndLocalhost) {
  for (const char* host :
       {"127.0.0.1", "127.0.0.1:15000", "10.1.2.3:80", "[::1]", "[::1]:15000", "localhost", "LocalHost:15000"}) {
    EXPECT_TRUE(IsDirectHost(host)) << host;
  }
}

TEST(IsDirectHost, NamesAreNot) {
  for (const char* host : {"", ":80", "example.org", "127.0.0.1.example.org", "localhost.example.org", "::1",
                           "127.0.0.1:15000:1", "[::1", "0x7f000001", "localhost@evil"}) {
    EXPECT_FALSE(IsDirectHost(host)) << host;
  }
}

}  // namespace
}  // namespace lanyard
