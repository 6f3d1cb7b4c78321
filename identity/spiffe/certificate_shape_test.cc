// Each test is named for what there is too much of.
#include "identity/spiffe/certificate_shape.h"

#include <openssl/nid.h>
#include <openssl/x509.h>

#include <functional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "identity/spiffe/certificate.h"
#include "identity/spiffe/fake_ca.h"

namespace lanyard {
namespace {

using testing::HasSubstr;

absl::Span<const uint8_t> Bytes(const std::string& text) {
  return absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(text.data()), text.size());
}

// One DER element.
std::string Element(uint8_t tag, const std::string& content) {
  std::string head(1, static_cast<char>(tag));
  const size_t size = content.size();
  if (size < 128) return head + static_cast<char>(size) + content;
  if (size < 256) return head + '\x81' + static_cast<char>(size) + content;
  return head + '\x82' + static_cast<char>(size >> 8) + static_cast<char>(size & 0xff) + content;
}

std::string Repeated(const std::string& text, size_t times) {
  std::string all;
  for (size_t i = 0; i < times; ++i) all += text;
  return all;
}

const std::string kAttribute = Element(0x30, std::string("\x06\x03\x55\x04\x03") + Element(0x0c, "x"));
const std::string kRelativePoint = Element(0x30, Element(0xa0, Element(0xa1, kAttribute)));
const std::string kFullPoint = Element(0x30, Element(0xa0, Element(0xa0, Element(0x86, "http://crl"))));
const std::string kDnsName = Element(0x82, "a");

void AddAttributes(X509_NAME* name, int count, const std::string& value = "x") {
  for (int i = 0; i < count; ++i) {
    X509_NAME_add_entry_by_NID(name, NID_commonName, MBSTRING_UTF8, reinterpret_cast<const uint8_t*>(value.data()),
                               static_cast<int>(value.size()), -1, 0);
  }
}

std::function<void(X509*)> Issuer(int attributes, const std::string& value = "x") {
  return [=](X509* x) {
    bssl::UniquePtr<X509_NAME> name(X509_NAME_new());
    AddAttributes(name.get(), attributes, value);
    X509_set_issuer_name(x, name.get());
  };
}

std::function<void(X509*)> Extension(const std::string& oid, const std::string& der) {
  return [=](X509* x) {
    bssl::UniquePtr<ASN1_OBJECT> object(OBJ_txt2obj(oid.c_str(), 1));
    for (int at = 0; (at = X509_get_ext_by_OBJ(x, object.get(), -1)) >= 0;) {
      X509_EXTENSION_free(X509_delete_ext(x, at));
    }
    AddRawExtension(x, oid, false, der);
  };
}

class CertificateShapeTest : public testing::Test {
 protected:
  std::string Minted(std::function<void(X509*)> mutate) const {
    return root_.LeafDer("spiffe://example.org/web", {.mutate = std::move(mutate)});
  }
  // Why it is refused; "" if it is not.
  std::string WhyNot(std::function<void(X509*)> mutate) const {
    return std::string(CheckCertificateShape(Bytes(Minted(std::move(mutate)))).message());
  }
  const FakeCa root_ = FakeCa::Root("example.org");
};

TEST_F(CertificateShapeTest, OrdinaryOnesAreTaken) {
  EXPECT_EQ(WhyNot([](X509*) {}), "");
  EXPECT_TRUE(CheckCertificateShape(Bytes(root_.certificate().der())).ok());
  EXPECT_EQ(WhyNot([](X509* x) {
              SetExtension(x, NID_crl_distribution_points, "URI:http://example.org/crl,URI:http://example.org/crl2");
              SetExtension(x, NID_name_constraints, "critical,permitted;URI:example.org,excluded;DNS:a.b");
              SetExtension(x, NID_info_access, "OCSP;URI:http://example.org/ocsp");
              Extension("2.5.29.32", Element(0x30, Element(0x30, Element(0x06, "\x2a\x03\x04"))))(x);
            }),
            "");
}

TEST_F(CertificateShapeTest, DistributionPointsRelativeToALongIssuer) {
  const auto bomb = [](X509* x) {
    Issuer(50)(x);
    Extension("2.5.29.31", Element(0x30, Repeated(kRelativePoint, 20)))(x);
  };
  EXPECT_THAT(WhyNot(bomb), HasSubstr("nameRelativeToCRLIssuer"));
  // Refused before anything is built of it: what BoringSSL itself would refuse first is not even seen.
  std::string der = Minted(bomb);
  const size_t version = der.find(std::string("\xa0\x03\x02\x01\x02", 5));
  ASSERT_NE(version, std::string::npos);
  der[version + 4] = 9;
  EXPECT_THAT(std::string(Certificate::Parse(Bytes(der)).status().message()), HasSubstr("nameRelativeToCRLIssuer"));
}

TEST_F(CertificateShapeTest, OneRelativeDistributionPointHoweverItIsWritten) {
  const std::string empty = Element(0x30, Element(0xa0, Element(0xa1, "")));
  const std::string primitive = Element(0x30, Element(0xa0, Element(0x81, kAttribute)));
  const std::string after_reasons = Element(0x30, Element(0x81, "\x07\x80") + Element(0xa0, Element(0xa1, kAttribute)));
  for (const char* oid : {"2.5.29.31", "2.5.29.46"}) {
    for (const std::string& point : {kRelativePoint, empty, primitive, after_reasons, kFullPoint + kRelativePoint}) {
      EXPECT_THAT(WhyNot(Extension(oid, Element(0x30, point))), HasSubstr("nameRelativeToCRLIssuer")) << oid;
    }
  }
}

TEST_F(CertificateShapeTest, DistributionPoints) {
  const auto with = [this](size_t count) {
    return WhyNot(Extension("2.5.29.31", Element(0x30, Repeated(kFullPoint, count))));
  };
  EXPECT_EQ(with(CertificateShape::kMaxDistributionPoints), "");
  EXPECT_THAT(with(33), HasSubstr("it has 33 CRL distribution points: at most 32"));
}

TEST_F(CertificateShapeTest, AttributesAndBytesOfTheIssuer) {
  EXPECT_EQ(WhyNot(Issuer(64)), "");
  EXPECT_THAT(WhyNot(Issuer(65)), HasSubstr("it has 65 attributes in its issuer: at most 64"));
  EXPECT_EQ(WhyNot(Issuer(32, std::string(50, 'x'))), "");
  EXPECT_THAT(WhyNot(Issuer(40, std::string(60, 'x'))), HasSubstr("its issuer has 2840 bytes: at most 2048"));
}

TEST_F(CertificateShapeTest, AttributesOfTheSubject) {
  EXPECT_THAT(WhyNot([](X509* x) { AddAttributes(X509_get_subject_name(x), 65); }),
              HasSubstr("65 attributes in its subject"));
}

TEST_F(CertificateShapeTest, Extensions) {
  const auto with = [this](int more) {
    return WhyNot([more](X509* x) {
      const int there = X509_get_ext_count(x);
      for (int i = there; i < there + more; ++i) AddRawExtension(x, absl::StrCat("1.2.3.", i), false, "x");
    });
  };
  EXPECT_EQ(with(50), "");
  EXPECT_THAT(with(64), HasSubstr("extensions: at most 64"));
}

TEST_F(CertificateShapeTest, AlternativeNames) {
  EXPECT_EQ(WhyNot(Extension("2.5.29.17", Element(0x30, Repeated(kDnsName, 256)))), "");
  EXPECT_THAT(WhyNot(Extension("2.5.29.17", Element(0x30, Repeated(kDnsName, 257)))),
              HasSubstr("257 names in subjectAltName: at most 256"));
}

TEST_F(CertificateShapeTest, Purposes) {
  EXPECT_EQ(WhyNot(Extension("2.5.29.37", Element(0x30, Repeated(Element(0x06, "\x2a\x03"), 64)))), "");
  EXPECT_THAT(WhyNot(Extension("2.5.29.37", Element(0x30, Repeated(Element(0x06, "\x2a\x03"), 65)))),
              HasSubstr("65 purposes"));
}

TEST_F(CertificateShapeTest, NameConstraintsPermittedAndExcludedTogether) {
  const std::string subtree = Element(0x30, kDnsName);
  const auto with = [&](size_t permitted, size_t excluded) {
    return WhyNot(Extension("2.5.29.30", Element(0x30, Element(0xa0, Repeated(subtree, permitted)) +
                                                           Element(0xa1, Repeated(subtree, excluded)))));
  };
  EXPECT_EQ(with(128, 128), "");
  EXPECT_THAT(with(128, 129), HasSubstr("257 name constraints: at most 256"));
}

TEST_F(CertificateShapeTest, ElementsInWhateverIsDecoded) {
  // Names of the authority's issuer; attributes of one alternative name.
  EXPECT_THAT(WhyNot(Extension("2.5.29.35", Element(0x30, Element(0xa1, Repeated(kDnsName, 2100))))),
              HasSubstr("more than 2048 ASN.1 elements"));
  const std::string name = Element(0x30, Repeated(Element(0x31, kAttribute), 600));
  EXPECT_THAT(WhyNot(Extension("2.5.29.17", Element(0x30, Element(0xa4, name)))),
              HasSubstr("more than 2048 ASN.1 elements"));
  // What nobody decodes is bytes.
  EXPECT_EQ(WhyNot(Extension("1.2.3.4", Element(0x30, Repeated(kDnsName, 2100)))), "");
}

TEST_F(CertificateShapeTest, ListsThatDenyBeingLists) {
  const std::string names = Repeated(kDnsName, 2100);
  for (const auto& [oid, value] : {std::pair{"2.5.29.35", Element(0x30, Element(0x81, names))},
                                   std::pair{"2.5.29.17", Element(0x10, names)},
                                   std::pair{"2.5.29.17", Element(0x30, Element(0xa4, Element(0x10, names)))},
                                   std::pair{"2.5.29.30", Element(0x30, Element(0x80, names))},
                                   std::pair{"2.5.29.31", Element(0x30, Element(0x30, Element(0x82, names)))}}) {
    EXPECT_THAT(WhyNot(Extension(oid, value)), HasSubstr("is not DER, or cut short")) << oid;
  }
}

TEST_F(CertificateShapeTest, Nesting) {
  std::string deep;
  for (int i = 0; i < 40; ++i) deep = Element(0x30, deep);
  EXPECT_THAT(WhyNot(Extension("2.5.29.17", deep)), HasSubstr("nested more than 24 deep"));
}

TEST_F(CertificateShapeTest, WhatIsNoCertificateIsRefused) {
  for (const std::string& der : {std::string(), std::string("x"), Element(0x30, ""), Element(0x30, Element(0x30, "")),
                                 Element(0x30, "\x30\x80"), Element(0x31, Element(0x30, ""))}) {
    EXPECT_TRUE(absl::IsInvalidArgument(CheckCertificateShape(Bytes(der))));
  }
}

TEST_F(CertificateShapeTest, TruncatedAnywhereIsRefused) {
  const std::string der = Minted([](X509*) {});
  for (size_t size = 0; size < der.size(); ++size) {
    EXPECT_TRUE(absl::IsInvalidArgument(CheckCertificateShape(Bytes(der.substr(0, size))))) << size;
  }
}

}  // namespace
}  // namespace lanyard
