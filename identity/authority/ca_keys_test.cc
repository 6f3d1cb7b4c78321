#include "identity/authority/ca_keys.h"

#include <unistd.h>

#include <string>

#include "gtest/gtest.h"
#include "identity/authority/authority_testing.h"
#include "identity/base/atomic_file.h"
#include "identity/base/fake_random.h"

namespace lanyard {
namespace {

class CaKeysTest : public testing::Test {
 protected:
  absl::StatusOr<CaKeys> Open(const char* trust_domain = "example.org") {
    return CaKeys::Open(folder_ + "/sealed", folder_ + "/key", *TrustDomain::Parse(trust_domain), random_);
  }
  std::vector<CaAuthority> MakeAuthorities() {
    CaHierarchy hierarchy(*TrustDomain::Parse("example.org"), {});
    EXPECT_TRUE(hierarchy.Advance(absl::FromUnixSeconds(1'800'000'000), random_).ok());
    std::vector<CaAuthority> authorities = hierarchy.authorities();
    authorities.push_back(authorities.front());
    authorities.back().state = AuthorityState::kRetired;
    authorities.back().key.reset();
    return authorities;
  }
  FakeRandom random_;
  const std::string folder_ = NewTestFolder();
};

TEST_F(CaKeysTest, AFirstStartMakesASealingKeyAndLaterOnesLoad) {
  const std::vector<CaAuthority> made = MakeAuthorities();
  {
    auto keys = Open();
    ASSERT_TRUE(keys.ok()) << keys.status();
    EXPECT_TRUE(keys->empty());
    ASSERT_TRUE(keys->Save(made).ok());
    EXPECT_FALSE(keys->empty());
  }
  const auto keys = Open();
  EXPECT_FALSE(keys->empty());
  const auto loaded = keys->Load();
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  ASSERT_EQ(loaded->size(), made.size());
  for (size_t i = 0; i < made.size(); ++i) {
    EXPECT_EQ((*loaded)[i].kind, made[i].kind);
    EXPECT_EQ((*loaded)[i].state, made[i].state);
    EXPECT_EQ((*loaded)[i].prepared_at, made[i].prepared_at);
    EXPECT_EQ((*loaded)[i].certificate, made[i].certificate);
    ASSERT_EQ((*loaded)[i].key.has_value(), made[i].key.has_value());
    if (made[i].key) {
      EXPECT_EQ((*loaded)[i].key->public_key_der(), made[i].key->public_key_der());
    }
  }
}

TEST_F(CaKeysTest, NothingOfAKeyIsOnDiskInTheClear) {
  const std::vector<CaAuthority> made = MakeAuthorities();
  ASSERT_TRUE(Open()->Save(made).ok());
  const std::string content = *ReadFile(folder_ + "/sealed");
  EXPECT_EQ(content.find(made[0].certificate.der()), std::string::npos);
  const Secret key = made[0].key->ExportPkcs8Der();
  EXPECT_EQ(content.find(std::string(key.text().substr(key.bytes().size() / 2, 16))), std::string::npos);
}

TEST_F(CaKeysTest, WithoutTheSealingKeyNothingIsMadeInItsPlace) {
  ASSERT_TRUE(Open()->Save(MakeAuthorities()).ok());
  ASSERT_EQ(unlink((folder_ + "/key").c_str()), 0);
  const absl::Status refused = Open().status();
  EXPECT_TRUE(absl::IsFailedPrecondition(refused)) << refused;
  EXPECT_NE(access((folder_ + "/key").c_str(), F_OK), 0);
}

TEST_F(CaKeysTest, AnotherTrustDomainCannotOpenIt) {
  ASSERT_TRUE(Open()->Save(MakeAuthorities()).ok());
  const absl::Status refused = Open("example.com")->Load().status();
  EXPECT_TRUE(absl::IsDataLoss(refused));
  EXPECT_NE(refused.message().find(folder_ + "/sealed"), absl::string_view::npos) << refused;
}

TEST_F(CaKeysTest, RefusesAMalformedContent) {
  const Secret good = *EncodeCaAuthorities(MakeAuthorities());
  ASSERT_TRUE(DecodeCaAuthorities(good).ok());
  for (size_t size = 0; size < good.bytes().size(); size += 7) {
    EXPECT_TRUE(absl::IsDataLoss(DecodeCaAuthorities(Secret::CopyOf(good.text().substr(0, size))).status())) << size;
  }
  EXPECT_FALSE(DecodeCaAuthorities(Secret::CopyOf(std::string(good.text()) + "x")).ok());
}

TEST_F(CaKeysTest, RefusesAKeyThatIsNotItsCertificates) {
  std::vector<CaAuthority> mixed = MakeAuthorities();
  std::swap(mixed[0].key, mixed[1].key);
  EXPECT_TRUE(absl::IsDataLoss(DecodeCaAuthorities(*EncodeCaAuthorities(mixed)).status()));
  mixed = MakeAuthorities();
  mixed[0].key.reset();
  EXPECT_TRUE(absl::IsDataLoss(DecodeCaAuthorities(*EncodeCaAuthorities(mixed)).status()));
}

}  // namespace
}  // namespace lanyard
