#include "identity/channel/inner_link.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <set>
#include <string>

#include "gtest/gtest.h"

namespace lanyard {
namespace {

std::string PeerNameOf(int socket) {
  sockaddr_un address = {};
  socklen_t size = sizeof(address);
  EXPECT_EQ(getpeername(socket, reinterpret_cast<sockaddr*>(&address), &size), 0);
  if (size <= offsetof(sockaddr_un, sun_path) + 1) return "";
  return std::string(address.sun_path + 1, size - offsetof(sockaddr_un, sun_path) - 1);
}

TEST(InnerLinkTest, GrpcsEndSeesTheNameAndTheOtherNone) {
  const InnerLink link = *InnerLink::Create();
  EXPECT_EQ(link.name.size(), 32u);
  EXPECT_EQ(PeerNameOf(link.grpc_end.get()), link.name);
  EXPECT_EQ(PeerNameOf(link.relay_end.get()), "");
  EXPECT_TRUE(fcntl(link.grpc_end.get(), F_GETFL) & O_NONBLOCK);
  char byte = 'x';
  EXPECT_EQ(write(link.relay_end.get(), &byte, 1), 1);
  EXPECT_EQ(read(link.grpc_end.get(), &byte, 1), 1);
}

TEST(InnerLinkTest, NoTwoNamesAreEqual) {
  std::set<std::string> names;
  for (int i = 0; i < 100; ++i) names.insert(InnerLink::Create()->name);
  EXPECT_EQ(names.size(), 100u);
}

TEST(InnerLinkTest, TheNameCannotBeTakenOrReachedFromOutside) {
  const InnerLink link = *InnerLink::Create();
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  link.name.copy(address.sun_path + 1, link.name.size());
  const socklen_t size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + link.name.size());
  const Descriptor forger(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  EXPECT_EQ(connect(forger.get(), reinterpret_cast<const sockaddr*>(&address), size), -1);
  EXPECT_EQ(errno, ECONNREFUSED);   // nothing listens there
  EXPECT_EQ(bind(forger.get(), reinterpret_cast<const sockaddr*>(&address), size), -1);
  EXPECT_EQ(errno, EADDRINUSE);
}

TEST(InnerLinkTest, OnlyAnInnerLinksPeerHasAName) {
  EXPECT_EQ(InnerLinkName("unix-abstract:0123456789abcdef0123456789abcdef"), "0123456789abcdef0123456789abcdef");
  for (const char* peer :
       {"", "unix:", "unix:/tmp/0123456789abcdef0123456789abcdef", "ipv4:127.0.0.1:80", "unix-abstract:",
        "unix-abstract:short", "unix-abstract:0123456789abcdef0123456789abcdef0"}) {
    EXPECT_EQ(InnerLinkName(peer), "") << peer;
  }
}

}  // namespace
}  // namespace lanyard
