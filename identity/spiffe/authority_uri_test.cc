#include "identity/spiffe/authority_uri.h"

#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "identity/spiffe/fake_ca.h"

namespace lanyard {
namespace {

// "": all are fit.
std::string UnfitOf(const std::vector<std::string>& uris) {
  const FakeCa root = FakeCa::Root("td", {.mutate = [&](X509* x) { SetUris(x, uris); }});
  const std::string* unfit = UnfitAuthorityUri(root.certificate());
  return unfit == nullptr ? "" : *unfit;
}

TEST(UnfitAuthorityUri, ATrustDomainsIdIsFitWithOrWithoutTheRootPath) {
  EXPECT_EQ(UnfitOf({"spiffe://td"}), "");
  EXPECT_EQ(UnfitOf({"spiffe://td/"}), "");
}

TEST(UnfitAuthorityUri, NoneAndOtherSchemesAreFit) {
  EXPECT_EQ(UnfitOf({}), "");
  EXPECT_EQ(UnfitOf({"https://td/ca"}), "");
}

TEST(UnfitAuthorityUri, AWorkloadsIdIsNotWhereverItStands) {
  for (const char* uri : {"spiffe://td/web", "spiffe://td/web/", "spiffe://td//", "spiffe://", "spiffe:///",
                          "spiffe://td?q", "spiffe://TD"}) {
    EXPECT_EQ(UnfitOf({"spiffe://td", uri}), uri);
  }
}

}  // namespace
}  // namespace lanyard
