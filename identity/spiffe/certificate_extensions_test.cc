#include "identity/spiffe/certificate_extensions.h"

#include <openssl/nid.h>
#include <openssl/x509.h>

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "identity/spiffe/fake_ca.h"

namespace lanyard {
namespace {

CertificateExtensions Read(std::function<void(X509*)> mutate) {
  const FakeLeaf leaf = FakeCa::Root("example.org").Leaf("spiffe://example.org/web", {.mutate = std::move(mutate)});
  return *ReadCertificateExtensions(leaf.chain[0].x509());
}

TEST(ReadCertificateExtensions, AbsentOnesHaveTheirDefaults) {
  const CertificateExtensions extensions = Read([](X509* x) {
    while (X509_get_ext_count(x) > 0) X509_EXTENSION_free(X509_delete_ext(x, 0));
  });
  EXPECT_FALSE(extensions.is_ca);
  EXPECT_EQ(extensions.path_length, -1);
  EXPECT_FALSE(extensions.has_key_usage);
  EXPECT_FALSE(extensions.has_extended_key_usage);
  EXPECT_TRUE(extensions.uri_names.empty());
  EXPECT_EQ(extensions.subject_key_id, "");
  EXPECT_EQ(extensions.authority_key_id, "");
}

TEST(ReadCertificateExtensions, CriticalityOfKeyUsageIsSeen) {
  EXPECT_TRUE(Read([](X509*) {}).key_usage_critical);
  EXPECT_FALSE(Read([](X509* x) { SetExtension(x, NID_key_usage, "digitalSignature"); }).key_usage_critical);
}

TEST(ReadCertificateExtensions, KeyUsageBitsAreTheirOwn) {
  const CertificateExtensions none = Read([](X509* x) { SetExtension(x, NID_key_usage, "keyAgreement"); });
  EXPECT_TRUE(none.has_key_usage);
  EXPECT_FALSE(none.digital_signature || none.cert_sign || none.crl_sign);
  EXPECT_TRUE(Read([](X509* x) { SetExtension(x, NID_key_usage, "cRLSign"); }).crl_sign);
  EXPECT_TRUE(Read([](X509* x) { SetExtension(x, NID_key_usage, "keyCertSign"); }).cert_sign);
}

TEST(ReadCertificateExtensions, PurposesAreTheirOwn) {
  const CertificateExtensions server = Read([](X509* x) { SetExtension(x, NID_ext_key_usage, "serverAuth"); });
  EXPECT_TRUE(server.eku_server_auth);
  EXPECT_FALSE(server.eku_client_auth);
  const CertificateExtensions other = Read([](X509* x) { SetExtension(x, NID_ext_key_usage, "codeSigning"); });
  EXPECT_TRUE(other.has_extended_key_usage);
  EXPECT_FALSE(other.eku_server_auth || other.eku_client_auth);
}

TEST(ReadCertificateExtensions, OtherKindsOfNameAreNotUris) {
  const CertificateExtensions extensions = Read([](X509* x) {
    SetExtension(x, NID_subject_alt_name, "critical,email:a@b.c,IP:10.0.0.1,DNS:a.b,RID:1.2.3,URI:spiffe://td/a");
  });
  EXPECT_EQ(extensions.uri_names, std::vector<std::string>{"spiffe://td/a"});
  EXPECT_EQ(extensions.dns_names, std::vector<std::string>{"a.b"});
}

}  // namespace
}  // namespace lanyard
