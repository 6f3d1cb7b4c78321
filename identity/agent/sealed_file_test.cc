#include "identity/agent/sealed_file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "identity/base/atomic_file.h"
#include "identity/base/fake_random.h"

namespace lanyard {
namespace {

class SealedFileTest : public testing::Test {
 protected:
  static std::string NewFolder() {
    std::string dir = testing::TempDir() + "/sealedXXXXXX";
    EXPECT_NE(mkdtemp(dir.data()), nullptr);
    return dir;
  }
  static Secret Content() { return Secret::CopyOf(absl::string_view("a private key")); }

  const std::string dir_ = NewFolder();
  FakeRandom random_;
  Secret key_ = *LoadOrCreateSealingKey(dir_ + "/sealing.key", random_);
  SealedFile file_{dir_ + "/node.sealed", key_, random_};
};

TEST_F(SealedFileTest, GivesBackWhatWasWritten) {
  EXPECT_TRUE(absl::IsNotFound(file_.Read().status()));
  ASSERT_TRUE(file_.Write(Content().bytes()).ok());
  EXPECT_EQ(file_.Read()->text(), "a private key");
  ASSERT_TRUE(file_.Write({}).ok());
  EXPECT_TRUE(file_.Read()->empty());
}

TEST_F(SealedFileTest, OthersCanReadNeitherFileNorKeyNorTheContentInIt) {
  ASSERT_TRUE(file_.Write(Content().bytes()).ok());
  for (const char* name : {"/node.sealed", "/sealing.key"}) {
    struct stat info;
    ASSERT_EQ(stat((dir_ + name).c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 07777, 0600u) << name;
  }
  EXPECT_EQ(ReadFile(file_.path())->find("private"), std::string::npos);
}

TEST_F(SealedFileTest, EveryChangedByteIsNoticed) {
  ASSERT_TRUE(file_.Write(Content().bytes()).ok());
  const std::string sealed = *ReadFile(file_.path());
  for (size_t i = 0; i < sealed.size(); ++i) {
    std::string changed = sealed;
    changed[i] = static_cast<char>(changed[i] ^ 1);
    ASSERT_TRUE(WriteFileAtomically(file_.path(), changed, 0600).ok());
    EXPECT_TRUE(absl::IsDataLoss(file_.Read().status())) << i;
  }
  for (size_t size = 0; size < sealed.size(); ++size) {
    ASSERT_TRUE(WriteFileAtomically(file_.path(), sealed.substr(0, size), 0600).ok());
    EXPECT_TRUE(absl::IsDataLoss(file_.Read().status())) << size;
  }
}

TEST_F(SealedFileTest, OneFileCannotStandInForAnother) {
  ASSERT_TRUE(file_.Write(Content().bytes()).ok());
  ASSERT_EQ(rename(file_.path().c_str(), (dir_ + "/workloads.sealed").c_str()), 0);
  EXPECT_TRUE(absl::IsDataLoss(SealedFile(dir_ + "/workloads.sealed", key_, random_).Read().status()));
}

TEST_F(SealedFileTest, AnotherKeyDoesNotOpenIt) {
  ASSERT_TRUE(file_.Write(Content().bytes()).ok());
  const Secret other = *LoadOrCreateSealingKey(dir_ + "/other.key", random_);
  EXPECT_TRUE(absl::IsDataLoss(SealedFile(file_.path(), other, random_).Read().status()));
}

TEST_F(SealedFileTest, TheKeyIsMadeOnceAndAWrongOneIsAnError) {
  const Secret again = *LoadOrCreateSealingKey(dir_ + "/sealing.key", random_);
  EXPECT_EQ(again.text(), key_.text());
  ASSERT_TRUE(WriteFileAtomically(dir_ + "/sealing.key", "short", 0600).ok());
  EXPECT_TRUE(absl::IsDataLoss(LoadOrCreateSealingKey(dir_ + "/sealing.key", random_).status()));
}

}  // namespace
}  // namespace lanyard
