#include "identity/workload/svid_response_proto.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "identity/base/clock.h"
#include "identity/spiffe/fake_ca.h"
#include "identity/spiffe/verify.h"
#include "identity/workload/fake_workload_api.h"

namespace lanyard {
namespace {

class SvidResponseTest : public testing::Test {
 protected:
  SvidResponseTest()
      : root_(FakeCa::Root("example.org")),
        web_(root_.Intermediate().Leaf("spiffe://example.org/web")),
        db_(root_.Leaf("spiffe://example.org/db")),
        response_(FakeWorkloadApi::ResponseFor(web_, root_)) {}

  void AddDb(const std::string& hint = "") {
    *response_.add_svids() = FakeWorkloadApi::ResponseFor(db_, root_).svids(0);
    response_.mutable_svids(response_.svids_size() - 1)->set_hint(hint);
  }
  void ExpectRefused(const std::string& because) {
    const auto identity = ParseSvidResponse(response_);
    EXPECT_TRUE(absl::IsInvalidArgument(identity.status())) << identity.status();
    EXPECT_THAT(std::string(identity.status().message()), testing::HasSubstr(because));
  }

  const FakeCa root_;
  const FakeLeaf web_, db_;
  X509SVIDResponse response_;
};

TEST_F(SvidResponseTest, AWholeMessageIsRead) {
  AddDb("internal");
  const FakeCa other = FakeCa::Root("other.org");
  (*response_.mutable_federated_bundles())["spiffe://other.org"] = other.Bundle().ToConcatenatedDer();
  const auto identity = ParseSvidResponse(response_);
  ASSERT_TRUE(identity.ok()) << identity.status();
  ASSERT_EQ(identity->svids.size(), 2u);
  EXPECT_EQ(identity->svids[0].id().ToString(), "spiffe://example.org/web");
  EXPECT_EQ(identity->svids[0].chain(), web_.chain);
  EXPECT_EQ(identity->svids[1].hint(), "internal");
  EXPECT_EQ(identity->bundles.bundles().size(), 2u);
  EXPECT_NE(identity->bundles.Find(other.Bundle().trust_domain()), nullptr);
  EXPECT_TRUE(VerifySvid(identity->svids[0].chain(), identity->bundles, SystemClock().Now()).ok());
}

TEST_F(SvidResponseTest, PrivateKeysAreOverwrittenEitherWay) {
  X509SVIDResponse broken = response_;
  ASSERT_TRUE(ParseSvidResponse(response_).ok());
  EXPECT_TRUE(response_.svids(0).x509_svid_key().empty());
  broken.mutable_svids(0)->set_spiffe_id("spiffe://example.org/else");
  ASSERT_FALSE(ParseSvidResponse(broken).ok());
  EXPECT_TRUE(broken.svids(0).x509_svid_key().empty());
}

TEST_F(SvidResponseTest, NoSvidIsRefused) {
  response_.clear_svids();
  ExpectRefused("there is none");
}

TEST_F(SvidResponseTest, EveryFieldOfAnSvidIsMandatoryButTheHint) {
  const X509SVIDResponse whole = response_;
  for (int field : {1, 2, 3, 4}) {
    response_ = whole;
    X509SVID* svid = response_.mutable_svids(0);
    svid->GetReflection()->ClearField(svid, svid->GetDescriptor()->FindFieldByNumber(field));
    ExpectRefused("mandatory");
  }
}

TEST_F(SvidResponseTest, OneBadSvidSpoilsTheMessage) {
  AddDb();
  response_.mutable_svids(1)->set_x509_svid("garbage");
  ExpectRefused("spiffe://example.org/db");
}

TEST_F(SvidResponseTest, AnIdThatTheCertificateDoesNotHaveIsRefused) {
  response_.mutable_svids(0)->set_spiffe_id("spiffe://example.org/admin");
  ExpectRefused("its certificate says spiffe://example.org/web");
}

TEST_F(SvidResponseTest, AKeyOfAnotherCertificateIsRefused) {
  const Secret key = db_.Key().ExportPkcs8Der();
  response_.mutable_svids(0)->set_x509_svid_key(std::string(key.text()));
  ExpectRefused("spiffe://example.org/web");
}

TEST_F(SvidResponseTest, AKeyThatIsNoKeyIsRefused) {
  response_.mutable_svids(0)->set_x509_svid_key("garbage");
  ExpectRefused("spiffe://example.org/web");
}

TEST_F(SvidResponseTest, ABadBundleIsRefused) {
  response_.mutable_svids(0)->set_bundle("garbage");
  ExpectRefused("the bundle of example.org");
}

TEST_F(SvidResponseTest, TwoBundlesOfOneTrustDomainThatDifferAreRefused) {
  AddDb();
  response_.mutable_svids(1)->set_bundle(FakeCa::Root("example.org").Bundle().ToConcatenatedDer());
  ExpectRefused("given twice");
}

TEST_F(SvidResponseTest, UnusableAuthoritiesOfTheOwnBundleAreLeftOut) {
  const std::string own = response_.svids(0).bundle();
  response_.mutable_svids(0)->set_bundle(web_.chain[0].der() + own);
  const auto identity = ParseSvidResponse(response_);
  ASSERT_TRUE(identity.ok()) << identity.status();
  EXPECT_EQ(*identity->bundles.Find(root_.Bundle().trust_domain()), root_.Bundle());
  EXPECT_THAT(identity->left_out, testing::ElementsAre(testing::HasSubstr("is not a CA certificate")));
  response_ = FakeWorkloadApi::ResponseFor(web_, root_);
  response_.mutable_svids(0)->set_bundle(web_.chain[0].der());
  ExpectRefused("the bundle of example.org: authority 1");
}

TEST_F(SvidResponseTest, AFederatedBundleThatCannotBeReadIsLeftOut) {
  const FakeCa other = FakeCa::Root("other.org"), third = FakeCa::Root("third.org");
  const std::string odd = other.Leaf("spiffe://other.org/web").chain[0].der();
  for (const std::string& der : {odd, std::string("garbage"), other.certificate().der() + "cut"}) {
    response_ = FakeWorkloadApi::ResponseFor(web_, root_);
    (*response_.mutable_federated_bundles())["spiffe://other.org"] = der;
    (*response_.mutable_federated_bundles())["spiffe://third.org"] = third.Bundle().ToConcatenatedDer();
    const auto identity = ParseSvidResponse(response_);
    ASSERT_TRUE(identity.ok()) << identity.status();
    EXPECT_EQ(identity->bundles.Find(other.Bundle().trust_domain()), nullptr);
    EXPECT_NE(identity->bundles.Find(third.Bundle().trust_domain()), nullptr);
    EXPECT_THAT(identity->left_out, testing::ElementsAre(testing::HasSubstr("the bundle of other.org")));
  }
}

TEST_F(SvidResponseTest, UnusableAuthoritiesOfAFederatedBundleAreLeftOut) {
  const FakeCa other = FakeCa::Root("other.org");
  (*response_.mutable_federated_bundles())["spiffe://other.org"] =
      other.Leaf("spiffe://other.org/web").chain[0].der() + other.certificate().der();
  const auto identity = ParseSvidResponse(response_);
  ASSERT_TRUE(identity.ok()) << identity.status();
  EXPECT_EQ(*identity->bundles.Find(other.Bundle().trust_domain()), other.Bundle());
  EXPECT_EQ(identity->left_out.size(), 1u);
}

TEST_F(SvidResponseTest, AFederatedBundleNeverReplacesTheOwnOne) {
  (*response_.mutable_federated_bundles())["spiffe://example.org"] =
      FakeCa::Root("example.org").Bundle().ToConcatenatedDer();
  const auto identity = ParseSvidResponse(response_);
  ASSERT_TRUE(identity.ok()) << identity.status();
  EXPECT_EQ(*identity->bundles.Find(root_.Bundle().trust_domain()), root_.Bundle());
  EXPECT_THAT(identity->left_out, testing::ElementsAre(testing::HasSubstr("given twice")));
}

TEST_F(SvidResponseTest, AFederatedBundleNeedsATrustDomainsId) {
  const std::string der = FakeCa::Root("other.org").Bundle().ToConcatenatedDer();
  for (const char* key : {"other.org", "spiffe://other.org/path", "https://other.org", ""}) {
    (*response_.mutable_federated_bundles())[key] = der;
    ExpectRefused("no trust domain ID");
    response_ = FakeWorkloadApi::ResponseFor(web_, root_);
  }
}

TEST_F(SvidResponseTest, OfEqualHintsTheFirstWins) {
  response_.mutable_svids(0)->set_hint("internal");
  AddDb("internal");
  const auto identity = ParseSvidResponse(response_);
  ASSERT_TRUE(identity.ok());
  ASSERT_EQ(identity->svids.size(), 1u);
  EXPECT_EQ(identity->svids[0].id().ToString(), "spiffe://example.org/web");
}

}  // namespace
}  // namespace lanyard
