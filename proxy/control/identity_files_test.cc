#include "proxy/control/identity_files.h"

#include <stdlib.h>
#include <sys/stat.h>

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "identity/base/atomic_file.h"
#include "identity/spiffe/fake_ca.h"

namespace lanyard {
namespace {

using testing::HasSubstr;

class IdentityFilesTest : public testing::Test {
 protected:
  IdentityFilesTest() : folder_(testing::TempDir() + "/identity_files_XXXXXX") {
    EXPECT_NE(mkdtemp(folder_.data()), nullptr);
    files_ = {Path("svid.pem"), Path("key.pem"), Path("bundle.pem"), {}};
    const FakeLeaf leaf = ca_.Intermediate().Leaf("spiffe://td/web");
    Write("svid.pem", leaf.ChainPem());
    Write("key.pem", leaf.KeyPem());
    Write("bundle.pem", ca_.Bundle().ToPem());
  }
  std::string Path(const std::string& name) const { return folder_ + "/" + name; }
  void Write(const std::string& name, const std::string& text, mode_t mode = 0600) {
    ASSERT_TRUE(WriteFileAtomically(Path(name), text, mode).ok());
  }

  const FakeCa ca_ = FakeCa::Root("td");
  std::string folder_;
  IdentityFiles files_;
};

TEST_F(IdentityFilesTest, AreReadAsOneIdentity) {
  const FakeCa other = FakeCa::Root("other.org");
  Write("other.pem", other.Bundle().ToPem());
  files_.federated_bundles.emplace(TrustDomain::Parse("other.org").value(), Path("other.pem"));
  const absl::StatusOr<WorkloadIdentity> identity = ReadIdentityFiles(files_);
  ASSERT_TRUE(identity.ok()) << identity.status();
  ASSERT_EQ(identity->svids.size(), 1u);
  EXPECT_EQ(identity->svids[0].id().ToString(), "spiffe://td/web");
  EXPECT_EQ(identity->svids[0].chain().size(), 2u);
  EXPECT_EQ(identity->bundles.bundles().size(), 2u);
  EXPECT_EQ(*identity->bundles.Find(TrustDomain::Parse("td").value()), ca_.Bundle());
}

TEST_F(IdentityFilesTest, AFederatedBundleNeverReplacesTheOwnOne) {
  Write("other.pem", FakeCa::Root("td").Bundle().ToPem());
  files_.federated_bundles.emplace(TrustDomain::Parse("td").value(), Path("other.pem"));
  EXPECT_EQ(*ReadIdentityFiles(files_).value().bundles.Find(TrustDomain::Parse("td").value()), ca_.Bundle());
}

TEST_F(IdentityFilesTest, WhatCannotBeUsedOfAFederatedBundleIsLeftOut) {
  const TrustDomain domain = TrustDomain::Parse("other.org").value();
  const FakeCa other = FakeCa::Root("other.org");
  const std::string odd = other.Leaf("spiffe://other.org/web").chain[0].ToPem();
  files_.federated_bundles.emplace(domain, Path("other.pem"));
  Write("other.pem", odd + other.certificate().ToPem());
  absl::StatusOr<WorkloadIdentity> identity = ReadIdentityFiles(files_);
  ASSERT_TRUE(identity.ok()) << identity.status();
  EXPECT_EQ(*identity->bundles.Find(domain), other.Bundle());
  EXPECT_EQ(identity->left_out.size(), 1u);

  Write("other.pem", odd);
  identity = ReadIdentityFiles(files_);
  ASSERT_TRUE(identity.ok()) << identity.status();
  EXPECT_EQ(identity->bundles.Find(domain), nullptr);
  EXPECT_EQ(*identity->bundles.Find(TrustDomain::Parse("td").value()), ca_.Bundle());
  EXPECT_THAT(identity->left_out, testing::ElementsAre(HasSubstr(Path("other.pem"))));

  // Half a file is none of the other domain's doing.
  Write("other.pem", other.certificate().ToPem().substr(0, 100));
  EXPECT_THAT(ReadIdentityFiles(files_).status().message(), HasSubstr(Path("other.pem")));
}

TEST_F(IdentityFilesTest, OfTheOwnBundleSomethingMustBeUsable) {
  const std::string odd = ca_.Leaf("spiffe://td/web").chain[0].ToPem();
  Write("bundle.pem", odd + ca_.certificate().ToPem());
  EXPECT_EQ(*ReadIdentityFiles(files_).value().bundles.Find(TrustDomain::Parse("td").value()), ca_.Bundle());
  Write("bundle.pem", odd);
  EXPECT_THAT(ReadIdentityFiles(files_).status().message(), HasSubstr(Path("bundle.pem")));
}

TEST_F(IdentityFilesTest, AKeyOfAnotherCertificateIsRefused) {
  Write("key.pem", ca_.Leaf("spiffe://td/web").KeyPem());
  const absl::Status status = ReadIdentityFiles(files_).status();
  EXPECT_FALSE(status.ok());
  EXPECT_THAT(status.message(), HasSubstr(Path("key.pem")));
}

TEST_F(IdentityFilesTest, WhatIsMissingOrMalformedIsNamed) {
  for (const char* name : {"svid.pem", "key.pem", "bundle.pem"}) {
    const std::string good = ReadFile(Path(name)).value();
    Write(name, "-----BEGIN nothing");
    EXPECT_THAT(ReadIdentityFiles(files_).status().message(), HasSubstr(Path(name)));
    ASSERT_EQ(remove(Path(name).c_str()), 0);
    EXPECT_THAT(ReadIdentityFiles(files_).status().message(), HasSubstr(Path(name)));
    Write(name, good);
    EXPECT_TRUE(ReadIdentityFiles(files_).ok());
  }
}

TEST_F(IdentityFilesTest, AKeyThatOthersCanReadIsNoticed) {
  EXPECT_FALSE(KeyReadableByOthers(files_));
  ASSERT_EQ(chmod(files_.key.c_str(), 0644), 0);
  EXPECT_TRUE(KeyReadableByOthers(files_));
}

}  // namespace
}  // namespace lanyard
