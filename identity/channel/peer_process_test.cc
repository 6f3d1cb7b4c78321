#include "identity/channel/peer_process.h"

#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <memory>

#include "gtest/gtest.h"
#include "identity/base/descriptor.h"

namespace lanyard {
namespace {

// A child that connects to us and lives until it is told to go.
class PeerProcessTest : public testing::Test {
 protected:
  void SetUp() override {
    listening_.Reset(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    ASSERT_EQ(bind(listening_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(sa_family_t)), 0);
    ASSERT_EQ(listen(listening_.get(), 1), 0);
    socklen_t size = sizeof(address);
    ASSERT_EQ(getsockname(listening_.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
    int ends[2];
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    leash_.Reset(ends[0]);
    child_ = fork();
    if (child_ == 0) {
      close(ends[0]);
      const int connection = socket(AF_UNIX, SOCK_STREAM, 0);
      if (connect(connection, reinterpret_cast<const sockaddr*>(&address), size) != 0) _exit(1);
      char byte;
      (void)!read(ends[1], &byte, 1);
      _exit(0);
    }
    close(ends[1]);
    connection_.Reset(accept4(listening_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    ASSERT_TRUE(connection_.valid());
  }
  void TearDown() override { EndChild(); }
  void EndChild() {
    if (child_ <= 0) return;
    leash_.Reset(-1);
    int status;
    EXPECT_EQ(waitpid(child_, &status, 0), child_);
    child_ = 0;
  }

  Descriptor listening_, leash_, connection_;
  pid_t child_ = 0;
};

TEST_F(PeerProcessTest, NamesTheProcessThatConnectedAndSeesItDie) {
  for (const auto& find : {PeerProcessOf, PeerProcessByPid}) {
    const auto peer = find(connection_.get());
    ASSERT_TRUE(peer.ok()) << peer.status();
    EXPECT_EQ((*peer)->pid(), child_);
    EXPECT_EQ((*peer)->uid(), getuid());
    EXPECT_EQ((*peer)->gid(), getgid());
    EXPECT_TRUE((*peer)->Alive());
  }
  const auto peer = *PeerProcessOf(connection_.get());
  EndChild();
  EXPECT_FALSE(peer->Alive());
}

TEST_F(PeerProcessTest, AProcessThatIsGoneIsNobodyOrNotAlive) {
  EndChild();
  const auto peer = PeerProcessOf(connection_.get());
  if (peer.ok()) {
    EXPECT_FALSE((*peer)->Alive());   // Linux 6.16 and later give a pidfd of the dead
  }
  EXPECT_FALSE(PeerProcessByPid(connection_.get()).ok());
}

TEST_F(PeerProcessTest, WhatIsNoUnixConnectionIsAnError) {
  const Descriptor tcp(socket(AF_INET, SOCK_STREAM, 0));
  EXPECT_FALSE(PeerProcessOf(tcp.get()).ok());
  EXPECT_FALSE(PeerProcessByPid(tcp.get()).ok());
}

}  // namespace
}  // namespace lanyard
