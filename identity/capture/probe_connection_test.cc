#include "identity/capture/probe_connection.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <unistd.h>

#include <cerrno>

#include "gtest/gtest.h"

namespace lanyard {
namespace {

constexpr int kTimeoutMilliseconds = 10000;
constexpr absl::Duration kTimeout = absl::Seconds(10);

class ProbeConnectionTest : public testing::Test {
 protected:
  ProbeConnectionTest() {
    sockaddr_storage any = SockaddrOf("127.0.0.1", 0, size_);
    EXPECT_EQ(bind(listener_, reinterpret_cast<const sockaddr*>(&any), size_), 0);
    EXPECT_EQ(listen(listener_, 1), 0);
    here_ = AddressOfSocket(listener_);
    result_.plan.proxy_port = PortOf(here_);
  }
  ~ProbeConnectionTest() override {
    for (const int fd : {caller_, listener_, accepted_}) {
      if (fd >= 0) close(fd);
    }
  }
  static sockaddr_storage AddressOfSocket(int fd) {
    sockaddr_storage storage{};
    socklen_t size = sizeof(storage);
    getsockname(fd, reinterpret_cast<sockaddr*>(&storage), &size);
    return storage;
  }
  int Connect() { return ConnectWithin(caller_, here_, size_, kTimeoutMilliseconds); }

  socklen_t size_ = 0;
  int listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  int caller_ = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  int accepted_ = -1;
  sockaddr_storage here_{};
  ProbeResult result_;
};

TEST_F(ProbeConnectionTest, WhoHasTakenItIsFound) {
  ASSERT_EQ(Connect(), 0);
  accepted_ = accept(listener_, nullptr, nullptr);
  FindOtherEnd(AddressOfSocket(caller_), kTimeout, nullptr, result_);
  EXPECT_TRUE(result_.arrived);
  EXPECT_TRUE(result_.accepted);
  EXPECT_EQ(result_.owner, getuid());
}

TEST_F(ProbeConnectionTest, OneThatWaitsHasArrivedAndIsNotTaken) {
  ASSERT_EQ(Connect(), 0);
  FindOtherEnd(AddressOfSocket(caller_), absl::ZeroDuration(), nullptr, result_);
  EXPECT_TRUE(result_.arrived);
  EXPECT_FALSE(result_.accepted);
}

TEST_F(ProbeConnectionTest, OneThatNobodyHereHasIsNotFound) {
  FindOtherEnd(SockaddrOf("192.0.2.1", 9, size_), absl::ZeroDuration(), nullptr, result_);
  EXPECT_FALSE(result_.arrived);
}

TEST_F(ProbeConnectionTest, NobodyListeningIsARefusal) {
  close(listener_);
  listener_ = -1;
  EXPECT_EQ(Connect(), ECONNREFUSED);
}

TEST_F(ProbeConnectionTest, NothingIsLeftOfTheConnection) {
  ASSERT_EQ(Connect(), 0);
  accepted_ = accept(listener_, nullptr, nullptr);
  LeaveNothing(caller_);
  close(caller_);
  caller_ = -1;
  char byte = 0;
  EXPECT_EQ(recv(accepted_, &byte, 1, 0), -1);
  EXPECT_EQ(errno, ECONNRESET);
}

TEST(ProbeConnection, AddressesOfBothFamiliesAreReadAndWritten) {
  for (const char* text : {"192.0.2.9", "2001:db8::9"}) {
    socklen_t size = 0;
    const sockaddr_storage storage = SockaddrOf(text, 80, size);
    EXPECT_EQ(AddressOf(storage), text);
    EXPECT_EQ(PortOf(storage), 80);
    EXPECT_EQ(size, storage.ss_family == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6));
  }
}

}  // namespace
}  // namespace lanyard
