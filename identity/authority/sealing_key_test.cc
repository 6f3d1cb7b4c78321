#include "identity/authority/sealing_key.h"

#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <string>

#include "gtest/gtest.h"
#include "identity/authority/authority_testing.h"
#include "identity/base/fake_random.h"

namespace lanyard {
namespace {

class SealingKeyTest : public testing::Test {
 protected:
  std::string path_ = NewTestFolder() + "/key";
  FakeRandom random_;
};

TEST_F(SealingKeyTest, IsMadePrivateAndReadBack) {
  EXPECT_TRUE(absl::IsNotFound(ReadSealingKey(path_).status()));
  const auto made = CreateSealingKey(path_, random_);
  ASSERT_TRUE(made.ok()) << made.status();
  struct stat facts;
  ASSERT_EQ(stat(path_.c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 07777, 0600u);
  EXPECT_EQ(ReadSealingKey(path_)->text(), made->text());
}

TEST_F(SealingKeyTest, IsNeverReplaced) {
  const auto made = CreateSealingKey(path_, random_);
  EXPECT_FALSE(CreateSealingKey(path_, random_).ok());
  EXPECT_EQ(ReadSealingKey(path_)->text(), made->text());
}

TEST_F(SealingKeyTest, IsRefusedWhenOthersMayUseIt) {
  ASSERT_TRUE(CreateSealingKey(path_, random_).ok());
  for (mode_t mode : {0640, 0604, 0620, 0644, 0666}) {
    ASSERT_EQ(chmod(path_.c_str(), mode), 0);
    const absl::Status refused = ReadSealingKey(path_).status();
    EXPECT_TRUE(absl::IsFailedPrecondition(refused)) << refused;
    EXPECT_NE(refused.message().find("set it to 600"), absl::string_view::npos) << refused;
  }
}

TEST_F(SealingKeyTest, IsRefusedWhenItIsNotThirtyTwoBytesInAFile) {
  std::ofstream(path_) << std::string(31, 'x');
  ASSERT_EQ(chmod(path_.c_str(), 0600), 0);
  EXPECT_NE(ReadSealingKey(path_).status().message().find("31 bytes"), absl::string_view::npos);
  ASSERT_EQ(unlink(path_.c_str()), 0);
  ASSERT_EQ(mkfifo(path_.c_str(), 0600), 0);
  EXPECT_TRUE(absl::IsFailedPrecondition(ReadSealingKey(path_).status()));
  const std::string link = path_ + ".link";
  ASSERT_EQ(symlink(path_.c_str(), link.c_str()), 0);
  EXPECT_NE(ReadSealingKey(link).status().message().find("symbolic link"), absl::string_view::npos);
}

}  // namespace
}  // namespace lanyard
