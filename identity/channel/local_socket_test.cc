#include "identity/channel/local_socket.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <string>

#include "gtest/gtest.h"

namespace lanyard {
namespace {

class LocalSocketTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = "/tmp/lanyard.XXXXXX";   // TEST_TMPDIR is too long for a socket's address
    ASSERT_NE(mkdtemp(folder_.data()), nullptr);
    path_ = folder_ + "/s.sock";
  }
  void TearDown() override { EXPECT_EQ(rmdir(folder_.c_str()), 0) << "something was left behind"; }
  bool Exists() const {
    struct stat info;
    return lstat(path_.c_str(), &info) == 0;
  }
  bool Answers() const {
    const Descriptor socket(::socket(AF_UNIX, SOCK_STREAM, 0));
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    path_.copy(address.sun_path, sizeof(address.sun_path) - 1);
    return connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0;
  }
  std::string folder_, path_;
};

TEST_F(LocalSocketTest, HasItsModeWhateverTheUmask) {
  for (const mode_t mode : {0600u, 0666u, 0777u}) {
    const mode_t old = umask(0077);
    const auto socket = LocalSocket::Create(path_, mode);
    umask(old);
    ASSERT_TRUE(socket.ok()) << socket.status();
    struct stat info;
    ASSERT_EQ(lstat(path_.c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 07777, mode);
    EXPECT_TRUE(Answers());
  }
  EXPECT_FALSE(Exists());
}

TEST_F(LocalSocketTest, AStaleSocketIsReplaced) {
  {
    const Descriptor dead(::socket(AF_UNIX, SOCK_STREAM, 0));
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    path_.copy(address.sun_path, sizeof(address.sun_path) - 1);
    ASSERT_EQ(bind(dead.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
  }
  ASSERT_TRUE(Exists());
  const auto socket = LocalSocket::Create(path_, 0600);
  ASSERT_TRUE(socket.ok()) << socket.status();
  EXPECT_TRUE(Answers());
}

TEST_F(LocalSocketTest, ASocketThatAnswersIsLeftAlone) {
  const auto first = LocalSocket::Create(path_, 0600);
  ASSERT_TRUE(first.ok());
  EXPECT_TRUE(absl::IsAlreadyExists(LocalSocket::Create(path_, 0600).status()));
  EXPECT_TRUE(Answers());
}

TEST_F(LocalSocketTest, AFileIsNeverReplaced) {
  close(open(path_.c_str(), O_CREAT | O_WRONLY, 0600));
  EXPECT_TRUE(absl::IsFailedPrecondition(LocalSocket::Create(path_, 0600).status()));
  EXPECT_TRUE(Exists());
  unlink(path_.c_str());
}

TEST_F(LocalSocketTest, OnlyItsOwnFileIsRemoved) {
  {
    const auto socket = LocalSocket::Create(path_, 0600);
    ASSERT_TRUE(socket.ok());
    ASSERT_EQ(unlink(path_.c_str()), 0);
    close(open(path_.c_str(), O_CREAT | O_WRONLY, 0600));   // somebody else's
  }
  EXPECT_TRUE(Exists());
  unlink(path_.c_str());
}

TEST_F(LocalSocketTest, ImpossiblePathsAreErrors) {
  EXPECT_TRUE(absl::IsInvalidArgument(LocalSocket::Create("", 0600).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(LocalSocket::Create("relative.sock", 0600).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(LocalSocket::Create("/" + std::string(120, 'x'), 0600).status()));
  EXPECT_TRUE(absl::IsNotFound(LocalSocket::Create(folder_ + "/none/s.sock", 0600).status()));
}

}  // namespace
}  // namespace lanyard
