#include "proxy/io/local_listener.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cstring>
#include <fstream>

#include "gtest/gtest.h"

namespace lanyard {
namespace {

class LocalListenerTest : public testing::Test {
 protected:
  LocalListenerTest() {
    EXPECT_NE(mkdtemp(folder_.data()), nullptr);
    path_ = folder_ + "/s";
  }
  ~LocalListenerTest() override {
    unlink(path_.c_str());
    rmdir(folder_.c_str());
  }
  sockaddr_un Address() const {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path_.c_str(), sizeof(address.sun_path) - 1);
    return address;
  }
  bool Connects(const UniqueFd& fd) const {
    const sockaddr_un address = Address();
    return connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0;
  }

  std::string folder_ = "/tmp/listener-XXXXXX";  // short: a socket's path has 107 bytes
  std::string path_;
};

TEST_F(LocalListenerTest, IsForThisUserAloneWhomTheKernelNames) {
  const auto listener = OpenLocalListener(path_);
  ASSERT_TRUE(listener.ok()) << listener.status();
  struct stat found{};
  ASSERT_EQ(stat(path_.c_str(), &found), 0);
  EXPECT_EQ(found.st_mode & 0777, 0600u);
  EXPECT_TRUE(absl::IsUnavailable(AcceptLocalCaller(listener->get()).status()));
  const UniqueFd fd(socket(AF_UNIX, SOCK_STREAM, 0));
  ASSERT_TRUE(Connects(fd));
  const auto caller = AcceptLocalCaller(listener->get());
  ASSERT_TRUE(caller.ok()) << caller.status();
  EXPECT_EQ(caller->uid, geteuid());
}

TEST_F(LocalListenerTest, ReplacesWhatADeadProcessLeftButNotALivingOne) {
  auto first = OpenLocalListener(path_);
  ASSERT_TRUE(first.ok());
  EXPECT_TRUE(absl::IsAlreadyExists(OpenLocalListener(path_).status()));
  first->Reset();
  EXPECT_TRUE(OpenLocalListener(path_).ok());
}

TEST_F(LocalListenerTest, NeverReplacesAFile) {
  std::ofstream(path_) << "precious";
  EXPECT_TRUE(absl::IsAlreadyExists(OpenLocalListener(path_).status()));
  struct stat found{};
  ASSERT_EQ(stat(path_.c_str(), &found), 0);
  EXPECT_EQ(found.st_size, 8);
}

TEST_F(LocalListenerTest, APathThatIsNoneIsAnError) {
  EXPECT_FALSE(OpenLocalListener("").ok());
  EXPECT_FALSE(OpenLocalListener("/" + std::string(200, 'x')).ok());
  EXPECT_FALSE(OpenLocalListener(folder_ + "/missing/s").ok());
}

TEST_F(LocalListenerTest, TheServiceManagerIsToldWhereThereIsOne) {
  const UniqueFd manager(socket(AF_UNIX, SOCK_DGRAM, 0));
  const sockaddr_un address = Address();
  ASSERT_EQ(bind(manager.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
  EXPECT_TRUE(TellServiceManager("", "READY=1").ok());
  ASSERT_TRUE(TellServiceManager(path_, "MAINPID=7").ok());
  char text[64];
  const ssize_t size = recv(manager.get(), text, sizeof(text), MSG_DONTWAIT);
  EXPECT_EQ(std::string(text, size > 0 ? static_cast<size_t>(size) : 0), "MAINPID=7") << "and nothing before";
  EXPECT_FALSE(TellServiceManager(folder_ + "/missing", "READY=1").ok());
}

}  // namespace
}  // namespace lanyard
