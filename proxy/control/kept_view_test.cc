#include "proxy/control/kept_view.h"

#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <string>

#include "api/lanyard/mesh/mesh.pb.h"
#include "gtest/gtest.h"
#include "identity/base/atomic_file.h"
#include "proxy/control/mesh_view_proto.h"

namespace lanyard {
namespace {

std::shared_ptr<const MeshUpdate> Update() {
  mesh::v1::View view;
  view.set_version(7);
  view.add_spiffe_ids("spiffe://td/web");
  view.add_bans()->set_serial("0a0b");
  return *ReadView(view);
}

class KeptViewTest : public testing::Test {
 protected:
  KeptViewTest() : folder_(testing::TempDir() + "/kept_view_test") { std::filesystem::remove_all(folder_); }
  ~KeptViewTest() override { std::filesystem::remove_all(folder_); }
  const std::string folder_;
  const std::string path_ = folder_ + "/a/b/mesh.view";
};

TEST_F(KeptViewTest, WhatWasKeptIsReadAgain) {
  ASSERT_TRUE(WriteKeptView(path_, *Update()).ok());
  const auto kept = ReadKeptView(path_);
  ASSERT_TRUE(kept.ok()) << kept.status();
  EXPECT_EQ((*kept)->bytes, Update()->bytes);
  EXPECT_EQ((*kept)->bans.at(0).subject.ToString(), "serial:0a0b");
  struct stat info;
  ASSERT_EQ(stat(path_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
}

TEST_F(KeptViewTest, WhatWasKeptIsReadAgainWhateverTheUmask) {
  const mode_t before = umask(0);
  const absl::Status written = WriteKeptView(path_, *Update());
  umask(before);
  ASSERT_TRUE(written.ok()) << written;
  EXPECT_TRUE(ReadKeptView(path_).ok()) << ReadKeptView(path_).status();
}

TEST_F(KeptViewTest, NothingKeptIsNotFound) { EXPECT_TRUE(absl::IsNotFound(ReadKeptView(path_).status())); }

// The form is a contract: what one version wrote, the next must read or refuse.
TEST_F(KeptViewTest, TheFormIsOneLineAndTheViewsBytes) {
  EXPECT_EQ(EncodeKeptView(std::string("\x08\x07", 2)),
            std::string("lanyard-view 1 c3aefc14ee1131201d705d4da641e4729e40fcd15a0d80015a9deba1164959f9\n\x08\x07"));
  const auto decoded = DecodeKeptView(EncodeKeptView(std::string("\x08\x07", 2)));
  ASSERT_TRUE(decoded.ok()) << decoded.status();
  EXPECT_EQ((*decoded)->version, 7u);
}

TEST_F(KeptViewTest, EveryDamageIsDataLoss) {
  const std::string good = EncodeKeptView(Update()->bytes);
  for (size_t i = 0; i < good.size(); ++i) {
    std::string flipped = good;
    flipped[i] ^= 1;
    EXPECT_TRUE(absl::IsDataLoss(DecodeKeptView(flipped).status())) << i;
    EXPECT_TRUE(absl::IsDataLoss(DecodeKeptView(good.substr(0, i)).status())) << i;
  }
  EXPECT_TRUE(absl::IsDataLoss(DecodeKeptView(good + "x").status()));
}

TEST_F(KeptViewTest, AFileThatOthersMayWriteIsNotTrusted) {
  ASSERT_TRUE(WriteKeptView(path_, *Update()).ok());
  ASSERT_EQ(chmod(path_.c_str(), 0666), 0);
  EXPECT_TRUE(absl::IsPermissionDenied(ReadKeptView(path_).status()));
}

TEST_F(KeptViewTest, AFileInAFolderThatOthersMayWriteIsNotTrusted) {
  ASSERT_TRUE(WriteKeptView(path_, *Update()).ok());
  ASSERT_EQ(chmod((folder_ + "/a/b").c_str(), 0777), 0);
  EXPECT_TRUE(absl::IsPermissionDenied(ReadKeptView(path_).status()));
}

TEST_F(KeptViewTest, ALinkIsNotFollowed) {
  ASSERT_TRUE(WriteKeptView(path_, *Update()).ok());
  const std::string link = folder_ + "/a/b/link";
  ASSERT_EQ(symlink(path_.c_str(), link.c_str()), 0);
  EXPECT_TRUE(absl::IsPermissionDenied(ReadKeptView(link).status()));
}

}  // namespace
}  // namespace lanyard
