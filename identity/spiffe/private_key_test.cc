#include "identity/spiffe/private_key.h"

#include <openssl/evp.h>
#include <openssl/nid.h>

#include <string>

#include "gtest/gtest.h"
#include "identity/spiffe/fake_ca.h"

namespace lanyard {
namespace {

absl::Span<const uint8_t> Bytes(const std::string& text) {
  return absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(text.data()), text.size());
}

// Made for this test; guards nothing.
constexpr char kSec1Pem[] =
    "-----BEGIN EC PARAMETERS-----\n"
    "BggqhkjOPQMBBw==\n"
    "-----END EC PARAMETERS-----\n"
    "-----BEGIN EC PRIVATE KEY-----\n"
    "MHcCAQEEID2zawbbCzNS+28hAwVoNsvS/LDbI/z7VrUfEoZ+ArJ+oAoGCCqGSM49\n"
    "AwEHoUQDQgAEHnmXDiuNIsOPetK5YAk+ZJPCdh05s8tz6bt5L29UBlEDSN3EIYhT\n"
    "0AvPQYRZg8WHGt0Ww/c3mWkea7+QUqxCDw==\n"
    "-----END EC PRIVATE KEY-----\n";

TEST(PrivateKey, EveryTypeGeneratesAndSurvivesExport) {
  for (KeyType type :
       {KeyType::kEcP256, KeyType::kEcP384, KeyType::kRsa2048, KeyType::kRsa4096, KeyType::kEd25519}) {
    const auto key = PrivateKey::Generate(type);
    ASSERT_TRUE(key.ok()) << key.status();
    const Secret der = key->ExportPkcs8Der();
    const auto again = PrivateKey::ParsePkcs8Der(der.bytes());
    ASSERT_TRUE(again.ok()) << again.status();
    EXPECT_EQ(again->public_key_der(), key->public_key_der());
    const auto from_pem = PrivateKey::ParsePem(key->ExportPkcs8Pem().text());
    ASSERT_TRUE(from_pem.ok()) << from_pem.status();
    EXPECT_EQ(from_pem->public_key_der(), key->public_key_der());
  }
}

TEST(PrivateKey, TwoAreNeverTheSame) {
  EXPECT_NE(PrivateKey::Generate(KeyType::kEcP256)->public_key_der(),
            PrivateKey::Generate(KeyType::kEcP256)->public_key_der());
}

TEST(PrivateKey, ReadsTheOlderEcForm) {
  const auto key = PrivateKey::ParsePem(kSec1Pem);
  ASSERT_TRUE(key.ok()) << key.status();
  EXPECT_EQ(EVP_PKEY_id(key->evp()), EVP_PKEY_EC);
}

TEST(PrivateKey, RefusesTrailingBytesAndTruncation) {
  const Secret der = PrivateKey::Generate(KeyType::kEcP256)->ExportPkcs8Der();
  std::string text(der.text());
  EXPECT_NE(PrivateKey::ParsePkcs8Der(Bytes(text + "x")).status().message().find("followed by 1 bytes"),
            absl::string_view::npos);
  for (size_t size = 0; size < text.size(); ++size) {
    EXPECT_TRUE(absl::IsInvalidArgument(PrivateKey::ParsePkcs8Der(Bytes(text.substr(0, size))).status())) << size;
  }
}

TEST(PrivateKey, RefusesPemWithoutAKey) {
  for (absl::string_view pem : {"", "nothing", "-----BEGIN PRIVATE KEY-----\n!!!\n-----END PRIVATE KEY-----\n",
                                "-----BEGIN PRIVATE KEY-----\n"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(PrivateKey::ParsePem(pem).status())) << pem;
  }
}

TEST(PrivateKey, RefusesAnEncryptedKeyWithoutAskingForAPassphrase) {
  constexpr char kEncrypted[] =
      "-----BEGIN EC PRIVATE KEY-----\n"
      "Proc-Type: 4,ENCRYPTED\n"
      "DEK-Info: AES-128-CBC,000102030405060708090A0B0C0D0E0F\n"
      "\n"
      "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"
      "-----END EC PRIVATE KEY-----\n";
  EXPECT_TRUE(absl::IsInvalidArgument(PrivateKey::ParsePem(kEncrypted).status()));
}

TEST(CheckPublicKeyStrength, TakesStrongKeysOnly) {
  for (const auto& strong : {FakeEcKey(NID_X9_62_prime256v1), FakeEcKey(NID_secp384r1), FakeEcKey(NID_secp521r1),
                             FakeEd25519Key(), FakeRsaKey(2048)}) {
    EXPECT_TRUE(CheckPublicKeyStrength(strong.get()).ok());
  }
  EXPECT_NE(CheckPublicKeyStrength(FakeRsaKey(1024).get()).message().find("1024 bits"), absl::string_view::npos);
  EXPECT_NE(CheckPublicKeyStrength(FakeEcKey(NID_secp224r1).get()).message().find("secp224r1"),
            absl::string_view::npos);
}

}  // namespace
}  // namespace lanyard
