#include "identity/policy/policy.h"

#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"

namespace lanyard {
namespace {

SpiffeId Id(absl::string_view text) { return *SpiffeId::Parse(text); }
PeerPattern Pattern(absl::string_view text) { return *PeerPattern::Parse(text); }

PolicyRule Rule(std::string name, std::vector<uint16_t> ports, std::vector<absl::string_view> peers,
                bool allow_plaintext = false) {
  PolicyRule rule{std::move(name), std::move(ports), {}, allow_plaintext};
  for (absl::string_view peer : peers) rule.peers.push_back(Pattern(peer));
  return rule;
}

TEST(PeerPattern, ExactMatchesOneIdOnly) {
  const PeerPattern pattern = Pattern("spiffe://td/a/b");
  EXPECT_TRUE(pattern.Matches(Id("spiffe://td/a/b")));
  EXPECT_FALSE(pattern.Matches(Id("spiffe://td/a/bc")));
  EXPECT_FALSE(pattern.Matches(Id("spiffe://td/a/b/c")));
  EXPECT_FALSE(pattern.Matches(Id("spiffe://td/a")));
  EXPECT_FALSE(pattern.Matches(Id("spiffe://td2/a/b")));
}

TEST(PeerPattern, TrustDomainWildcardStaysInItsTrustDomain) {
  const PeerPattern pattern = Pattern("spiffe://td/*");
  EXPECT_TRUE(pattern.Matches(Id("spiffe://td/a")));
  EXPECT_TRUE(pattern.Matches(Id("spiffe://td/a/b")));
  EXPECT_FALSE(pattern.Matches(Id("spiffe://td")));
  EXPECT_FALSE(pattern.Matches(Id("spiffe://td.evil/a")));
  EXPECT_FALSE(pattern.Matches(Id("spiffe://tdx/a")));
}

TEST(PeerPattern, PathWildcardMatchesWholeSegmentsBelowIt) {
  const PeerPattern pattern = Pattern("spiffe://td/ns/prod/*");
  EXPECT_TRUE(pattern.Matches(Id("spiffe://td/ns/prod/web")));
  EXPECT_TRUE(pattern.Matches(Id("spiffe://td/ns/prod/web/1")));
  EXPECT_FALSE(pattern.Matches(Id("spiffe://td/ns/prod")));
  EXPECT_FALSE(pattern.Matches(Id("spiffe://td/ns/production/web")));
}

TEST(PeerPattern, RefusesOtherWildcardsAndNonsense) {
  for (absl::string_view text : {"*", "/*", "spiffe://*", "spiffe://*/a", "spiffe://td/a*", "spiffe://td/*/a",
                                 "spiffe://td/a/**", "spiffe://td//*", "spiffe:///*", "spiffe://td", "", "td/*"}) {
    EXPECT_FALSE(PeerPattern::Parse(text).ok()) << text;
  }
  EXPECT_NE(PeerPattern::Parse("spiffe://*").status().message().find("names no trust domain"),
            absl::string_view::npos);
}

TEST(InboundPolicy, EmptyDeniesEverything) {
  const SpiffeId peer = Id("spiffe://td/a");
  EXPECT_FALSE(InboundPolicy().Decide({80, &peer}).allowed);
  EXPECT_FALSE(InboundPolicy().Decide({80, nullptr}).allowed);
  EXPECT_FALSE(InboundPolicy().AllowsPlaintext(80));
}

TEST(InboundPolicy, FirstAllowingRuleIsNamed) {
  const InboundPolicy policy = *InboundPolicy::Create({Rule("other", {81}, {"spiffe://td/*"}),
                                                       Rule("web", {80, 8080}, {"spiffe://td/web"}),
                                                       Rule("any", {}, {"spiffe://td/*"})});
  const SpiffeId web = Id("spiffe://td/web");
  const SpiffeId foreign = Id("spiffe://elsewhere/web");
  EXPECT_EQ(policy.Decide({8080, &web}).rule, "web");
  EXPECT_EQ(policy.Decide({9, &web}).rule, "any");
  const PolicyDecision denied = policy.Decide({80, &foreign});
  EXPECT_FALSE(denied.allowed);
  EXPECT_EQ(denied.rule, "");
  EXPECT_EQ(denied.reason, "no rule allows spiffe://elsewhere/web on port 80");
}

TEST(InboundPolicy, PlaintextOnlyWhereARuleSaysSo) {
  const InboundPolicy policy =
      *InboundPolicy::Create({Rule("mesh", {}, {"spiffe://td/*"}), Rule("open", {80}, {}, true)});
  EXPECT_TRUE(policy.Decide({80, nullptr}).allowed);
  EXPECT_FALSE(policy.Decide({81, nullptr}).allowed);
  EXPECT_TRUE(policy.AllowsPlaintext(80));
  EXPECT_FALSE(policy.AllowsPlaintext(81));
  EXPECT_TRUE(policy.NamesPeers(81));
  EXPECT_FALSE(InboundPolicy::Create({Rule("open", {}, {}, true)})->NamesPeers(81));
}

TEST(InboundPolicy, AllowingPlaintextDoesNotAllowUnlistedPeers) {
  const InboundPolicy policy = *InboundPolicy::Create({Rule("open", {80}, {}, true)});
  const SpiffeId peer = Id("spiffe://td/a");
  EXPECT_FALSE(policy.Decide({80, &peer}).allowed);
}

TEST(InboundPolicy, RefusesRulesThatAreWrong) {
  EXPECT_FALSE(InboundPolicy::Create({Rule("", {}, {"spiffe://td/*"})}).ok());
  EXPECT_FALSE(InboundPolicy::Create({Rule("nobody", {80}, {})}).ok());
  const absl::Status twice =
      InboundPolicy::Create({Rule("a", {}, {"spiffe://td/*"}), Rule("a", {}, {}, true)}).status();
  EXPECT_TRUE(absl::IsInvalidArgument(twice));
  EXPECT_NE(twice.message().find("two rules are named a"), absl::string_view::npos);
}

}  // namespace
}  // namespace lanyard
