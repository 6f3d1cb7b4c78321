#include "identity/spiffe/signature_algorithm.h"

#include <openssl/asn1.h>
#include <openssl/digest.h>
#include <openssl/evp.h>
#include <openssl/nid.h>
#include <openssl/obj.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include "gtest/gtest.h"
#include "identity/spiffe/fake_ca.h"

namespace lanyard {
namespace {

bool IsStrong(int nid) {
  bssl::UniquePtr<X509_ALGOR> algorithm(X509_ALGOR_new());
  X509_ALGOR_set0(algorithm.get(), OBJ_nid2obj(nid), V_ASN1_UNDEF, nullptr);
  return IsStrongSignature(algorithm.get());
}

// A certificate's algorithm, signed with RSA-PSS and `digest`.
bool IsStrongPss(const EVP_MD* digest) {
  const auto key = FakeRsaKey(2048);
  const FakeLeaf leaf = FakeCa::Root("example.org").Leaf("spiffe://example.org/web");
  bssl::UniquePtr<X509> x509(X509_dup(leaf.chain[0].x509()));
  bssl::ScopedEVP_MD_CTX context;
  EVP_PKEY_CTX* parameters = nullptr;
  EXPECT_TRUE(EVP_DigestSignInit(context.get(), &parameters, digest, nullptr, key.get()));
  EXPECT_TRUE(EVP_PKEY_CTX_set_rsa_padding(parameters, RSA_PKCS1_PSS_PADDING));
  EXPECT_TRUE(EVP_PKEY_CTX_set_rsa_pss_saltlen(parameters, -1));
  EXPECT_TRUE(X509_sign_ctx(x509.get(), context.get()));
  const ASN1_BIT_STRING* signature = nullptr;
  const X509_ALGOR* algorithm = nullptr;
  X509_get0_signature(&signature, &algorithm, x509.get());
  return IsStrongSignature(algorithm);
}

TEST(IsStrongSignature, TakesSha2AndEd25519) {
  for (int nid : {NID_sha256WithRSAEncryption, NID_sha384WithRSAEncryption, NID_sha512WithRSAEncryption,
                  NID_ecdsa_with_SHA256, NID_ecdsa_with_SHA384, NID_ecdsa_with_SHA512, NID_ED25519}) {
    EXPECT_TRUE(IsStrong(nid)) << OBJ_nid2sn(nid);
  }
}

TEST(IsStrongSignature, RefusesTheRest) {
  for (int nid : {NID_md5WithRSAEncryption, NID_sha1WithRSAEncryption, NID_ecdsa_with_SHA1, NID_dsaWithSHA1,
                  NID_sha224WithRSAEncryption, NID_ecdsa_with_SHA224, NID_rsaEncryption, NID_commonName}) {
    EXPECT_FALSE(IsStrong(nid)) << OBJ_nid2sn(nid);
  }
}

TEST(IsStrongSignature, LooksIntoPssParameters) {
  EXPECT_TRUE(IsStrongPss(EVP_sha256()));
  EXPECT_TRUE(IsStrongPss(EVP_sha512()));
  EXPECT_FALSE(IsStrongPss(EVP_sha1()));
  EXPECT_FALSE(IsStrong(NID_rsassaPss));  // no parameters: SHA-1
}

TEST(SignatureDigest, FitsTheKey) {
  EXPECT_EQ(SignatureDigest(FakeEcKey(NID_X9_62_prime256v1).get()), EVP_sha256());
  EXPECT_EQ(SignatureDigest(FakeEcKey(NID_secp384r1).get()), EVP_sha384());
  EXPECT_EQ(SignatureDigest(FakeRsaKey(2048).get()), EVP_sha256());
  EXPECT_EQ(SignatureDigest(FakeEd25519Key().get()), nullptr);
}

}  // namespace
}  // namespace lanyard
