#include "identity/authority/sealed_file.h"

#include <string>

#include "gtest/gtest.h"
#include "identity/base/fake_random.h"

namespace lanyard {
namespace {

class SealedFileTest : public testing::Test {
 protected:
  std::string SealText(absl::string_view text) { return *Seal(Secret::CopyOf(text), key_, "example.org", random_); }
  FakeRandom random_;
  Secret key_ = Secret::CopyOf(std::string(32, 'k'));
};

TEST_F(SealedFileTest, GivesBackWhatWasSealed) {
  for (const std::string text : {"", "a", "some keys"}) {
    const std::string sealed = SealText(text);
    EXPECT_EQ(sealed.find("keys"), std::string::npos);
    const auto opened = Unseal(sealed, key_, "example.org");
    ASSERT_TRUE(opened.ok()) << opened.status();
    EXPECT_EQ(opened->text(), text);
  }
}

TEST_F(SealedFileTest, NeverSealsTwiceTheSame) { EXPECT_NE(SealText("x"), SealText("x")); }

TEST_F(SealedFileTest, NoticesAnyAlteredByte) {
  const std::string sealed = SealText("some keys");
  for (size_t i = 0; i < sealed.size(); ++i) {
    std::string altered = sealed;
    altered[i] = static_cast<char>(altered[i] ^ 1);
    EXPECT_FALSE(Unseal(altered, key_, "example.org").ok()) << "byte " << i;
  }
}

TEST_F(SealedFileTest, NoticesAnyMissingOrAddedByte) {
  const std::string sealed = SealText("some keys");
  for (size_t size = 0; size < sealed.size(); ++size) {
    EXPECT_TRUE(absl::IsDataLoss(Unseal(sealed.substr(0, size), key_, "example.org").status())) << size;
  }
  EXPECT_FALSE(Unseal(sealed + "x", key_, "example.org").ok());
}

TEST_F(SealedFileTest, RefusesAnotherKeyContextOrVersion) {
  const std::string sealed = SealText("some keys");
  EXPECT_TRUE(absl::IsDataLoss(Unseal(sealed, Secret::CopyOf(std::string(32, 'j')), "example.org").status()));
  EXPECT_TRUE(absl::IsDataLoss(Unseal(sealed, key_, "example.com").status()));
  EXPECT_FALSE(Unseal(sealed, Secret::CopyOf("short"), "example.org").ok());
  std::string newer = sealed;
  newer[15] = 2;
  EXPECT_TRUE(absl::IsFailedPrecondition(Unseal(newer, key_, "example.org").status()));
}

}  // namespace
}  // namespace lanyard
