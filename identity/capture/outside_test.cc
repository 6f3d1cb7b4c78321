#include "identity/capture/outside.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <thread>

#include "gtest/gtest.h"
#include "identity/capture/probe_connection.h"

namespace lanyard {
namespace {

constexpr int kTimeoutMilliseconds = 10000;
constexpr uid_t kNobody = 65534;

class OutsideTest : public testing::TestWithParam<bool> {
 protected:
  // In a network namespace of the test's own, which goes with its process.
  static void SetUpTestSuite() { ASSERT_EQ(unshare(CLONE_NEWNET), 0) << "needs root"; }
};

TEST_P(OutsideTest, WhatComesFromThereComesFromAnotherMachine) {
  absl::StatusOr<std::unique_ptr<Outside>> outside = Outside::Open(GetParam());
  ASSERT_TRUE(outside.ok()) << outside.status();
  EXPECT_NE(if_nametoindex(kOutsideInterface), 0u);

  const Descriptor listener(socket(AF_INET6, SOCK_STREAM, 0));
  sockaddr_in6 any{};
  any.sin6_family = AF_INET6;
  any.sin6_addr = in6addr_any;
  ASSERT_EQ(bind(listener.get(), reinterpret_cast<const sockaddr*>(&any), sizeof(any)), 0);
  ASSERT_EQ(listen(listener.get(), 1), 0);
  socklen_t length = sizeof(any);
  ASSERT_EQ(getsockname(listener.get(), reinterpret_cast<sockaddr*>(&any), &length), 0);

  const absl::StatusOr<Descriptor> fd = (*outside)->Socket();
  ASSERT_TRUE(fd.ok()) << fd.status();
  socklen_t size = 0;
  const sockaddr_storage here = SockaddrOf(Outside::NearAddress(GetParam()), ntohs(any.sin6_port), size);
  ASSERT_EQ(ConnectWithin(fd->get(), here, size, kTimeoutMilliseconds), 0);
  sockaddr_storage caller{};
  length = sizeof(caller);
  const Descriptor accepted(accept(listener.get(), reinterpret_cast<sockaddr*>(&caller), &length));
  EXPECT_TRUE(accepted.valid());
  EXPECT_NE(AddressOf(caller), Outside::NearAddress(GetParam()));

  outside->reset();
  EXPECT_EQ(if_nametoindex(kOutsideInterface), 0u) << "nothing is left of it";
}

TEST_P(OutsideTest, ThereIsOneAtATime) {
  const absl::StatusOr<std::unique_ptr<Outside>> first = Outside::Open(GetParam());
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_TRUE(absl::IsAlreadyExists(Outside::Open(GetParam()).status()));
  EXPECT_NE(if_nametoindex(kOutsideInterface), 0u) << "the first is not harmed";
}

TEST_P(OutsideTest, WithoutTheRightToItSaysWhatIsNeeded) {
  absl::Status status;
  std::thread([&] {
    ASSERT_EQ(syscall(SYS_setresuid, -1, kNobody, -1), 0);  // of this thread alone
    status = Outside::Open(GetParam()).status();
  }).join();
  EXPECT_TRUE(absl::IsPermissionDenied(status)) << status;
}

INSTANTIATE_TEST_SUITE_P(Families, OutsideTest, testing::Bool(),
                         [](const auto& info) { return info.param ? "Ipv6" : "Ipv4"; });

}  // namespace
}  // namespace lanyard
