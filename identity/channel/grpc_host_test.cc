#include "identity/channel/grpc_host.h"

#include <grpcpp/create_channel_posix.h>
#include <grpcpp/grpcpp.h>
#include <poll.h>
#include <sys/socket.h>

#include <memory>
#include <string>
#include <utility>

#include "gtest/gtest.h"
#include "identity/channel/fake_echo_service.h"
#include "identity/channel/fake_http2_client.h"
#include "identity/channel/inner_link.h"

namespace lanyard {
namespace {

class GrpcHostTest : public testing::Test {
 protected:
  GrpcHostTest() {
    service_.who = [](const grpc::ServerContextBase& call) { return InnerLinkOf(call); };
    auto host = GrpcHost::Start({&service_});
    EXPECT_TRUE(host.ok()) << host.status();
    host_ = *std::move(host);
  }
  FakeEchoService service_;
  std::unique_ptr<GrpcHost> host_;
};

TEST_F(GrpcHostTest, ACallSaysByWhichLinkItCame) {
  for (int i = 0; i < 3; ++i) {
    InnerLink link = *InnerLink::Create();
    host_->Serve(std::move(link.grpc_end));
    std::string who;
    ASSERT_TRUE(Echo(grpc::CreateInsecureChannelFromFd("link", link.relay_end.Release()), "x", nullptr, &who).ok());
    EXPECT_EQ(who, link.name);
  }
}

TEST_F(GrpcHostTest, AConnectionThatIsNoLinkHasNoName) {
  int ends[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
  host_->Serve(Descriptor(ends[0]));
  std::string who = "?";
  ASSERT_TRUE(Echo(grpc::CreateInsecureChannelFromFd("pair", ends[1]), "x", nullptr, &who).ok());
  EXPECT_EQ(who, "");
}

TEST_F(GrpcHostTest, ClientsAreToldHowManyStreamsTheyMayHave) {
  host_.reset();
  host_ = *GrpcHost::Start({&service_}, {.max_streams = 7});
  InnerLink link = *InnerLink::Create();
  host_->Serve(std::move(link.grpc_end));
  const std::string preface = Http2Preface();
  ASSERT_EQ(send(link.relay_end.get(), preface.data(), preface.size(), MSG_NOSIGNAL),
            static_cast<ssize_t>(preface.size()));
  std::string got;
  const auto settings = [&got] {   // its payload's size
    return got.size() < 9 ? size_t{0} : static_cast<uint8_t>(got[1]) * size_t{256} + static_cast<uint8_t>(got[2]);
  };
  pollfd poll_for = {link.relay_end.get(), POLLIN, 0};
  char buffer[4096];
  while ((got.size() < 9 || got.size() < 9 + settings()) && poll(&poll_for, 1, 20000) == 1) {
    const ssize_t size = recv(link.relay_end.get(), buffer, sizeof(buffer), 0);
    ASSERT_GT(size, 0);
    got.append(buffer, static_cast<size_t>(size));
  }
  ASSERT_GE(got.size(), 9 + settings());
  ASSERT_EQ(got[3], 4) << "a server's first frame is SETTINGS";
  // RFC 9113 section 6.5.2: identifier 3, then the value.
  EXPECT_NE(got.substr(9, settings()).find(std::string("\0\3\0\0\0\7", 6)), std::string::npos);
}

TEST_F(GrpcHostTest, AfterShutdownConnectionsAreClosed) {
  host_->Shutdown(absl::ZeroDuration());
  InnerLink link = *InnerLink::Create();
  host_->Serve(std::move(link.grpc_end));
  pollfd poll_for = {link.relay_end.get(), POLLIN, 0};
  EXPECT_EQ(poll(&poll_for, 1, 20000), 1);
  EXPECT_TRUE(poll_for.revents & POLLHUP);
}

}  // namespace
}  // namespace lanyard
