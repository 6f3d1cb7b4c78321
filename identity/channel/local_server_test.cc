#include "identity/channel/local_server.h"

#include <fcntl.h>
#include <grpcpp/create_channel_posix.h>
#include <grpcpp/grpcpp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "identity/base/clock.h"
#include "identity/base/descriptor.h"
#include "identity/channel/fake_echo_service.h"
#include "identity/channel/fake_http2_client.h"

namespace lanyard {
namespace {

class LocalServerTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = "/tmp/lanyard.XXXXXX";   // TEST_TMPDIR is too long for a socket's address
    ASSERT_NE(mkdtemp(folder_.data()), nullptr);
    path_ = folder_ + "/agent.sock";
  }
  void TearDown() override {
    server_.reset();
    EXPECT_EQ(rmdir(folder_.c_str()), 0) << "the server left something behind";
  }
  void Start(LocalServer::Options options = {}) {
    options.path = path_;
    auto server = LocalServer::Start(std::move(options), {&service_});
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    service_.who = [this](const grpc::ServerContextBase& call) -> std::string {
      const auto peer = server_->PeerOf(call);
      return peer == nullptr ? "nobody" : absl::StrCat(peer->pid(), " ", peer->uid(), " ", peer->Alive());
    };
  }
  std::shared_ptr<grpc::Channel> Channel() {
    // A channel of its own, not gRPC's shared one to that address.
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    return grpc::CreateCustomChannel("unix:" + path_, grpc::InsecureChannelCredentials(), arguments);
  }
  Descriptor Connect() {
    Descriptor socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    path_.copy(address.sun_path, sizeof(address.sun_path) - 1);
    EXPECT_EQ(connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
    return socket;
  }
  // Waits for the server to close `socket`; false if it does not within 20 s.
  static bool ClosedByServer(const Descriptor& socket) {
    const timeval patience = {20, 0};
    setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    char buffer[4096];
    ssize_t got;
    while ((got = read(socket.get(), buffer, sizeof(buffer))) > 0) {
    }
    return got == 0 || errno == ECONNRESET;
  }
  // Whether gRPC answered the connection (an HTTP/2 server speaks first).
  static bool Served(const Descriptor& socket) {
    const timeval patience = {20, 0};
    setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    char byte;
    return recv(socket.get(), &byte, 1, 0) == 1;
  }

  static bool SendAll(const Descriptor& socket, const std::string& bytes) {
    return send(socket.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(bytes.size());
  }
  static std::string Calls(uint32_t count) {
    std::string bytes;
    for (uint32_t i = 0; i < count; ++i) bytes += Http2Call(2 * i + 1);
    return bytes;
  }
  // Whether the server answers a PING (RFC 9113 section 6.7): by then it has seen what was sent before.
  static bool Answers(const Descriptor& socket) {
    const timeval patience = {20, 0};
    setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    if (!SendAll(socket, Http2Frame(6, 0, 0, "12345678"))) return false;
    std::string got;
    char buffer[4096];
    while (got.find(Http2Frame(6, 1, 0, "12345678")) == std::string::npos) {
      const ssize_t size = recv(socket.get(), buffer, sizeof(buffer), 0);
      if (size <= 0) return false;
      got.append(buffer, static_cast<size_t>(size));
    }
    return true;
  }

  std::string folder_, path_;
  FakeEchoService service_;
  std::unique_ptr<LocalServer> server_;
};

TEST_F(LocalServerTest, AHandlerKnowsItsCallersProcess) {
  Start();
  std::string echoed, who;
  ASSERT_TRUE(Echo(Channel(), "hello", &echoed, &who).ok());
  EXPECT_EQ(echoed, "hello");
  EXPECT_EQ(who, absl::StrCat(getpid(), " ", getuid(), " 1"));
}

TEST_F(LocalServerTest, TheSocketHasItsModeAndGoesAtShutdown) {
  Start({.mode = 0640});
  struct stat info;
  ASSERT_EQ(lstat(path_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0640u);
  server_->Shutdown(absl::ZeroDuration());
  EXPECT_NE(lstat(path_.c_str(), &info), 0);
  server_->Shutdown(absl::ZeroDuration());   // again: nothing happens
}

TEST_F(LocalServerTest, OtherUsersAreClosedAtAccept) {
  Start({.allowed_uids = {getuid() + 1}});
  const Descriptor socket = Connect();
  EXPECT_TRUE(ClosedByServer(socket));
  server_.reset();
  Start({.allowed_uids = {getuid() + 1, getuid()}});
  EXPECT_TRUE(Served(Connect()));
}

TEST_F(LocalServerTest, ConnectionsOfOneUserAreLimited) {
  Start({.max_connections_per_uid = 2});
  Descriptor first = Connect();
  const Descriptor second = Connect();
  ASSERT_TRUE(Served(first));
  ASSERT_TRUE(Served(second));
  EXPECT_TRUE(ClosedByServer(Connect()));
  first.Reset(-1);
  // Its place is free once the server and gRPC have seen the end; each attempt waits for an answer.
  bool served = false;
  const absl::Duration start = SystemClock().Monotonic();
  while (!served && SystemClock().Monotonic() - start < absl::Seconds(20)) served = Served(Connect());
  EXPECT_TRUE(served);
}

TEST_F(LocalServerTest, ConnectionsAreLimitedAndWhoIsEntitledToSomethingKeepsItsOwn) {
  Start({.max_connections = 2});
  service_.who = [this](const grpc::ServerContextBase& call) {
    server_->PeerOf(call)->SetEntitled();
    return "entitled";
  };
  const auto entitled = Channel();
  ASSERT_TRUE(Echo(entitled, "x", nullptr).ok());
  // Others come and go, each at the expense of the one before.
  Descriptor last = Connect();
  ASSERT_TRUE(Served(last));
  for (int i = 0; i < 3; ++i) {
    Descriptor next = Connect();
    ASSERT_TRUE(Served(next));
    EXPECT_TRUE(ClosedByServer(last));
    last = std::move(next);
  }
  EXPECT_TRUE(Echo(entitled, "x", nullptr).ok());
  EXPECT_EQ(server_->stats().ended_limit, 3u);
  const auto also = Channel();
  ASSERT_TRUE(Echo(also, "x", nullptr).ok());
  EXPECT_TRUE(ClosedByServer(Connect())) << "all are entitled to something";
  EXPECT_EQ(server_->stats().refused_limit, 1u);
}

// Calls whose requests never come: gRPC keeps them and tells no handler, and the client acknowledges no SETTINGS.
TEST_F(LocalServerTest, AClientThatOpensCallsWithoutEndIsClosed) {
  Start({.max_calls_per_connection = 4});
  const Descriptor good = Connect(), hostile = Connect();
  ASSERT_TRUE(SendAll(good, Http2Preface() + Calls(8)));
  EXPECT_TRUE(Answers(good));
  ASSERT_TRUE(SendAll(hostile, Http2Preface() + Calls(9)));
  EXPECT_TRUE(ClosedByServer(hostile));
  EXPECT_TRUE(Answers(good));
  EXPECT_TRUE(Echo(Channel(), "x", nullptr).ok());
}

TEST_F(LocalServerTest, CallsOfOneUserAreLimitedOverAllItsConnections) {
  Start({.max_calls_per_connection = 100, .max_calls_per_uid = 10});
  const Descriptor first = Connect(), second = Connect();
  ASSERT_TRUE(SendAll(first, Http2Preface() + Calls(6)));
  ASSERT_TRUE(Answers(first));
  ASSERT_TRUE(SendAll(second, Http2Preface() + Calls(6)));
  EXPECT_TRUE(ClosedByServer(second));
  const Descriptor third = Connect();   // what the second had is free again
  ASSERT_TRUE(SendAll(third, Http2Preface() + Calls(4)));
  EXPECT_TRUE(Answers(third));
}

// gRPC would read what it has of the block again with each further piece of it.
TEST_F(LocalServerTest, AClientWhoseHeadersHaveNoEndIsClosed) {
  Start();
  const Descriptor good = Connect(), hostile = Connect();
  ASSERT_TRUE(SendAll(good, Http2Preface() + Calls(1)));
  ASSERT_TRUE(Answers(good));
  // A literal whose value is said to be long (RFC 7541 section 5.1).
  std::string bytes = Http2Preface() + Http2Frame(1, 0, 1, "\x83\x86\x84\x10\x01\x61\x7f\xff\xff\xff\xff\x03");
  for (int i = 0; i < 2; ++i) bytes += Http2Frame(9, 0, 1, std::string(16000, 'x'));
  ASSERT_TRUE(SendAll(hostile, bytes));
  EXPECT_TRUE(ClosedByServer(hostile));
  EXPECT_EQ(server_->stats().ended_limit, 1u);
  EXPECT_TRUE(Answers(good));
}

TEST_F(LocalServerTest, AClientThatOpensCallsOnlyToResetThemIsClosed) {
  Start();
  const Descriptor hostile = Connect();
  std::string bytes = Http2Preface();
  for (uint32_t i = 0; i < 1000; ++i) bytes += Http2Call(2 * i + 1) + Http2Frame(3, 0, 2 * i + 1, {"\0\0\0\x8", 4});
  send(hostile.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);   // it may be closed before all is sent
  EXPECT_TRUE(ClosedByServer(hostile));
  EXPECT_EQ(server_->stats().ended_limit, 1u);
  EXPECT_TRUE(Echo(Channel(), "x", nullptr).ok());
}

// As clients do that want no updates: read the first message, and cancel.
TEST_F(LocalServerTest, StreamsThatAreReadOnceAndCancelledAreNotLimited) {
  Start();
  service_.streamed_size_bytes = 100;
  const auto stub = SpiffeWorkloadAPI::NewStub(Channel());
  for (int i = 0; i < 300; ++i) {
    grpc::ClientContext call;
    const auto reader = stub->FetchX509Bundles(&call, {});
    X509BundlesResponse message;
    ASSERT_TRUE(reader->Read(&message)) << i;
    call.TryCancel();
    while (reader->Read(&message)) {
    }
    reader->Finish();
  }
  EXPECT_EQ(server_->stats().ended_limit, 0u);
}

TEST_F(LocalServerTest, CallsOneAfterAnotherAreNotLimited) {
  Start({.max_calls_per_connection = 2, .max_calls_per_uid = 2});
  const auto channel = Channel();
  for (int i = 0; i < 50; ++i) ASSERT_TRUE(Echo(channel, "x", nullptr).ok()) << i;
}

TEST_F(LocalServerTest, ClientsWaitWithCallsBeyondTheLimit) {
  Start({.max_calls_per_connection = 4});
  const auto channel = Channel();
  std::vector<std::thread> threads;
  for (int t = 0; t < 16; ++t) {
    threads.emplace_back([channel] {
      for (int i = 0; i < 20; ++i) ASSERT_TRUE(Echo(channel, "x", nullptr).ok());
    });
  }
  for (std::thread& thread : threads) thread.join();
}

// The child connects, hands its socket to us and dies: its pid means nothing any more.
TEST_F(LocalServerTest, ADeadCallerIsNotAliveThoughItsConnectionIs) {
  Start();
  int channel[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, channel), 0);
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  path_.copy(address.sun_path, sizeof(address.sun_path) - 1);
  // Only async-signal-safe calls until _exit: this process has threads.
  const pid_t child = fork();
  if (child == 0) {
    const int socket = ::socket(AF_UNIX, SOCK_STREAM, 0);
    if (connect(socket, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) _exit(1);
    char byte = 'x';
    // The server has seen us before we go.
    if (recv(socket, &byte, 1, MSG_PEEK) != 1) _exit(2);
    iovec data = {&byte, 1};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
    msghdr message = {};
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof(control);
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    *reinterpret_cast<int*>(CMSG_DATA(header)) = socket;
    _exit(sendmsg(channel[1], &message, 0) == 1 ? 0 : 3);
  }
  int status;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
  char byte;
  iovec data = {&byte, 1};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message = {};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof(control);
  ASSERT_EQ(recvmsg(channel[0], &message, 0), 1);
  int socket;
  memcpy(&socket, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(socket));
  close(channel[0]);
  close(channel[1]);

  fcntl(socket, F_SETFL, O_NONBLOCK);
  std::string who;
  const auto grpc_channel = grpc::CreateInsecureChannelFromFd("inherited", socket);
  ASSERT_TRUE(Echo(grpc_channel, "hello", nullptr, &who).ok());
  EXPECT_EQ(who, absl::StrCat(child, " ", getuid(), " 0"));
}

TEST_F(LocalServerTest, ManyConnectionsAtOnceEachKnowTheirCaller) {
  Start();
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([this] {
      for (int i = 0; i < 25; ++i) {
        std::string who;
        const grpc::Status status = Echo(Channel(), "x", nullptr, &who);
        ASSERT_TRUE(status.ok()) << status.error_message();
        EXPECT_EQ(who, absl::StrCat(getpid(), " ", getuid(), " 1"));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST_F(LocalServerTest, AStreamEndsAtShutdown) {
  Start();
  const auto stub = SpiffeWorkloadAPI::NewStub(Channel());
  grpc::ClientContext call;
  const auto reader = stub->FetchX509Bundles(&call, {});
  X509BundlesResponse message;
  ASSERT_TRUE(reader->Read(&message));
  std::thread shutdown([this] { server_->Shutdown(absl::ZeroDuration()); });
  while (reader->Read(&message)) {
  }
  EXPECT_FALSE(reader->Finish().ok());
  shutdown.join();
  EXPECT_EQ(service_.streams_ended(), 1);
}

TEST_F(LocalServerTest, ASecondServerOnTheSamePathIsAnError) {
  Start();
  const auto second = LocalServer::Start({.path = path_}, {&service_});
  EXPECT_TRUE(absl::IsAlreadyExists(second.status())) << second.status();
  EXPECT_TRUE(Served(Connect()));
}

}  // namespace
}  // namespace lanyard
