#include "identity/spiffe/csr.h"

#include <openssl/digest.h>
#include <openssl/evp.h>
#include <openssl/mem.h>
#include <openssl/nid.h>
#include <openssl/x509.h>

#include <memory>
#include <string>

#include "gtest/gtest.h"
#include "identity/spiffe/fake_ca.h"

namespace lanyard {
namespace {

absl::StatusOr<Csr> Parse(const std::string& der) {
  return Csr::Parse(absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(der.data()), der.size()));
}

// A request for `key`, signed by `signing_key` with `digest`, naming a subject nobody granted.
std::string Request(EVP_PKEY* key, EVP_PKEY* signing_key, const EVP_MD* digest) {
  bssl::UniquePtr<X509_REQ> request(X509_REQ_new());
  X509_NAME_add_entry_by_NID(X509_REQ_get_subject_name(request.get()), NID_commonName, MBSTRING_ASC,
                             reinterpret_cast<const uint8_t*>("root"), -1, -1, 0);
  EXPECT_TRUE(X509_REQ_set_pubkey(request.get(), key));
  EXPECT_TRUE(X509_REQ_sign(request.get(), signing_key, digest));
  uint8_t* der = nullptr;
  const int size = i2d_X509_REQ(request.get(), &der);
  bssl::UniquePtr<uint8_t> owned(der);
  return std::string(reinterpret_cast<const char*>(der), static_cast<size_t>(size));
}

TEST(Csr, RoundTripsEveryKeyType) {
  for (KeyType type : {KeyType::kEcP256, KeyType::kEcP384, KeyType::kRsa2048, KeyType::kEd25519}) {
    const PrivateKey key = *PrivateKey::Generate(type);
    const auto csr = Parse(*Csr::Create(key));
    ASSERT_TRUE(csr.ok()) << csr.status();
    EXPECT_EQ(csr->public_key_der(), key.public_key_der());
    EXPECT_EQ(EVP_PKEY_cmp(csr->public_key(), key.evp()), 1);
  }
}

TEST(Csr, WithNamesIsTakenForItsKeyOnly) {
  const auto key = FakeEcKey(NID_X9_62_prime256v1);
  EXPECT_TRUE(Parse(Request(key.get(), key.get(), EVP_sha256())).ok());
}

TEST(Csr, SignedByAnotherKeyIsRefused) {
  const auto key = FakeEcKey(NID_X9_62_prime256v1), other = FakeEcKey(NID_X9_62_prime256v1);
  const absl::Status status = Parse(Request(key.get(), other.get(), EVP_sha256())).status();
  EXPECT_NE(status.message().find("not by its own key"), absl::string_view::npos) << status;
}

TEST(Csr, SignedWithSha1IsRefused) {
  const auto key = FakeEcKey(NID_X9_62_prime256v1);
  const absl::Status status = Parse(Request(key.get(), key.get(), EVP_sha1())).status();
  EXPECT_NE(status.message().find("weak"), absl::string_view::npos) << status;
}

TEST(Csr, WithAWeakKeyIsRefused) {
  for (const auto& key : {FakeRsaKey(1024), FakeEcKey(NID_secp224r1)}) {
    EXPECT_TRUE(absl::IsInvalidArgument(Parse(Request(key.get(), key.get(), EVP_sha256())).status()));
  }
}

TEST(Csr, TamperedAnywhereIsRefused) {
  const std::string der = *Csr::Create(*PrivateKey::Generate(KeyType::kEcP256));
  for (size_t i = 0; i < der.size(); ++i) {
    std::string changed = der;
    changed[i] = static_cast<char>(changed[i] ^ 0x01);
    EXPECT_FALSE(Parse(changed).ok()) << i;
  }
}

TEST(Csr, TruncatedOrFollowedByBytesIsRefused) {
  const std::string der = *Csr::Create(*PrivateKey::Generate(KeyType::kEcP256));
  for (size_t size = 0; size < der.size(); ++size) EXPECT_FALSE(Parse(der.substr(0, size)).ok()) << size;
  EXPECT_NE(Parse(der + "x").status().message().find("followed by 1 bytes"), absl::string_view::npos);
}

TEST(Csr, LargerThanTheLimitIsRefusedUnread) {
  const absl::Status status = Parse(std::string(Csr::kMaxSizeBytes + 1, '0')).status();
  EXPECT_NE(status.message().find("at most 16384"), absl::string_view::npos) << status;
}

}  // namespace
}  // namespace lanyard
