#include "proxy/control/rules_in_force.h"

#include <string>
#include <utility>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace lanyard {
namespace {

using testing::HasSubstr;
using Source = RulesInForce::Source;

Ban BanOf(const std::string& subject) { return {*BanSubject::Parse(subject), "", absl::InfinitePast()}; }

InboundPolicy Allowing(const std::string& rule) {
  return InboundPolicy::Create({{rule, {}, {PeerPattern::Parse("spiffe://td/*").value()}, false}}).value();
}

FileRules File(bool of_capture) {
  FileRules file;
  file.of_capture = of_capture;
  file.rules.routes = RouteTable({}, {"of-file", {}, {}, RouteAction::kPassThrough, {}});
  file.rules.inbound = Allowing("of-file");
  file.rules.listener_policies = {Allowing("of-listener")};
  file.rules.bans = BanSet({BanOf("serial:0a")});
  return file;
}

std::shared_ptr<const MeshUpdate> View(uint64_t version, bool has_rules, const std::string& content) {
  auto view = std::make_shared<MeshUpdate>();
  view->version = version;
  view->spiffe_ids = {*SpiffeId::Parse("spiffe://td/web")};
  view->has_rules = has_rules;
  view->routes = {{"of-mesh", {}, {443}, RouteAction::kRefuse, {}}};
  view->inbound = Allowing("of-mesh");
  view->bans = {BanOf("spiffe://td/mallory")};
  view->content = content;
  return view;
}

SpiffeId Id(const std::string& name) { return *SpiffeId::Parse("spiffe://td/" + name); }

// Of a workload that is both web and metrics: the rules of one of them, by its name.
std::shared_ptr<const MeshUpdate> ViewOf(const std::string& name, uint64_t version) {
  auto view = std::make_shared<MeshUpdate>(*View(version, true, name));
  view->spiffe_ids = {Id("metrics"), Id("web")};
  view->spiffe_id = Id(name);
  view->inbound = Allowing(name);
  return view;
}

SocketAddress At(const std::string& text) { return SocketAddress::Parse(text).value(); }

TEST(RulesInForce, RulesOfTheFileHoldAndBansOfTheMeshAreAdded) {
  RulesInForce rules(File(true), "unix:/agent", true);
  EXPECT_TRUE(rules.Usable().ok());
  EXPECT_EQ(rules.Combined().bans.all().size(), 1u);
  EXPECT_TRUE(rules.SetView(View(1, true, "a"), Source::kAgent));
  const MeshRules combined = rules.Combined();
  EXPECT_EQ(combined.routes.Find(At("10.0.0.1:443")).name, "of-file");
  EXPECT_EQ(combined.inbound.rules()[0].name, "of-file");
  EXPECT_EQ(combined.bans.all().size(), 2u);
}

TEST(RulesInForce, WithoutRulesOfTheFileNothingPassesUntilThereIsAView) {
  RulesInForce rules(File(false), "unix:/agent", true);
  EXPECT_EQ(rules.Combined().routes.Find(At("10.0.0.1:80")).action, RouteAction::kRefuse);
  EXPECT_TRUE(rules.Combined().inbound.rules().empty());
  EXPECT_EQ(rules.Combined().listener_policies[0].rules()[0].name, "of-listener");
  EXPECT_EQ(rules.Combined().bans.all().size(), 1u);
  EXPECT_THAT(std::string(rules.Usable().message()), HasSubstr("waiting for the first view of the mesh from unix:/"));
}

TEST(RulesInForce, InThePlaceOfAProxyThatHasAViewThereIsOne) {
  for (const bool of_capture : {true, false}) {
    RulesInForce rules(File(of_capture), "unix:/agent", of_capture);
    rules.AwaitView(true);
    EXPECT_THAT(std::string(rules.Usable().message()), HasSubstr("the proxy before this one has one"));
    rules.SetView(View(1, true, "a"), Source::kDisk);
    EXPECT_TRUE(rules.Usable().ok());
  }
  RulesInForce alone(File(true), "", true);
  alone.AwaitView(true);
  EXPECT_TRUE(alone.Usable().ok()) << "it is configured to hear of none";
}

TEST(RulesInForce, ThenThoseOfTheMeshHold) {
  RulesInForce rules(File(false), "unix:/agent", true);
  rules.SetView(View(1, true, "a"), Source::kAgent);
  EXPECT_TRUE(rules.Usable().ok());
  const MeshRules combined = rules.Combined();
  EXPECT_EQ(combined.routes.Find(At("10.0.0.1:443")).name, "of-mesh");
  EXPECT_EQ(combined.routes.Find(At("10.0.0.1:80")).action, RouteAction::kPassThrough);
  EXPECT_EQ(combined.inbound.rules()[0].name, "of-mesh");
  EXPECT_EQ(combined.listener_policies[0].rules()[0].name, "of-listener");
}

TEST(RulesInForce, AWorkloadThatNobodySpeaksOfIsShutAndToldSo) {
  RulesInForce rules(File(false), "unix:/agent", true);
  rules.SetView(View(1, false, "a"), Source::kAgent);
  EXPECT_EQ(rules.Combined().routes.Find(At("10.0.0.1:80")).action, RouteAction::kRefuse);
  EXPECT_TRUE(rules.Combined().inbound.rules().empty());
  EXPECT_THAT(std::string(rules.Usable().message()), HasSubstr("speaks of spiffe://td/web"));
}

TEST(RulesInForce, WhereNothingIsCapturedNothingWaits) {
  EXPECT_TRUE(RulesInForce(File(false), "unix:/agent", false).Usable().ok());
}

TEST(RulesInForce, TheSameContentUnderANewVersionChangesNothing) {
  RulesInForce rules(File(false), "unix:/agent", true);
  EXPECT_TRUE(rules.SetView(View(1, true, "a"), Source::kDisk));
  EXPECT_FALSE(rules.SetView(View(2, true, "a"), Source::kAgent));
  EXPECT_EQ(rules.view()->version, 2u);
  EXPECT_EQ(rules.source(), Source::kAgent);
  EXPECT_TRUE(rules.SetView(View(3, true, "b"), Source::kAgent));
}

TEST(RulesInForce, AKeptViewOfAnotherWorkloadIsDroppedButForItsBans) {
  RulesInForce rules(File(false), "unix:/agent", true);
  rules.SetView(View(1, true, "a"), Source::kDisk);
  EXPECT_FALSE(rules.SetIdentity(Id("web")));
  EXPECT_TRUE(rules.SetIdentity(Id("db")));
  EXPECT_EQ(rules.view_of_rules(), nullptr);
  EXPECT_EQ(rules.version_in_force(), 0u);
  EXPECT_FALSE(rules.Usable().ok());
  EXPECT_TRUE(rules.Combined().inbound.rules().empty());
  EXPECT_EQ(rules.Combined().routes.Find(At("10.0.0.1:80")).action, RouteAction::kRefuse);
  EXPECT_EQ(rules.Combined().bans.all().size(), 2u) << "they are the whole mesh's";
  EXPECT_FALSE(rules.SetIdentity(Id("db")));
}

TEST(RulesInForce, WhatWasDroppedFromDiskHoldsOnceTheAgentSaysTheSame) {
  RulesInForce rules(File(false), "unix:/agent", true);
  rules.SetView(View(1, true, "a"), Source::kDisk);
  EXPECT_TRUE(rules.SetIdentity(Id("db")));
  EXPECT_TRUE(rules.SetView(View(1, true, "a"), Source::kAgent));
  EXPECT_EQ(rules.Combined().inbound.rules()[0].name, "of-mesh");
}

TEST(RulesInForce, AnAgentThatLostTheEntrySpeaksForNoOtherIdentity) {
  auto others = std::make_shared<MeshUpdate>(*ViewOf("metrics", 8));
  others->spiffe_ids = {Id("metrics")};
  RulesInForce running(File(false), "unix:/agent", true);
  running.SetIdentity(Id("web"));
  running.SetView(ViewOf("web", 7), Source::kAgent);
  running.SetView(others, Source::kAgent);
  EXPECT_EQ(running.Combined().inbound.rules()[0].name, "web");
  // It was started anew meanwhile.
  RulesInForce started(File(false), "unix:/agent", true);
  started.SetView(ViewOf("web", 7), Source::kDisk);
  started.SetView(others, Source::kAgent);
  EXPECT_TRUE(started.SetIdentity(Id("web")));
  EXPECT_EQ(started.Combined().inbound.rules()[0].name, "web");
}

TEST(RulesInForce, AKeptViewOfAnotherIdentityOfTheWorkloadIsDroppedToo) {
  RulesInForce rules(File(false), "unix:/agent", true);
  rules.SetView(ViewOf("metrics", 1), Source::kDisk);
  EXPECT_TRUE(rules.SetIdentity(Id("web")));
  EXPECT_FALSE(rules.Usable().ok());
}

TEST(RulesInForce, WhereItHasNoEntryTheAgentKnowsWhoseViewItSends) {
  RulesInForce rules(File(false), "unix:/agent", true);
  rules.SetView(View(1, true, "a"), Source::kAgent);
  EXPECT_FALSE(rules.SetIdentity(Id("db")));
  EXPECT_TRUE(rules.Usable().ok());
}

TEST(RulesInForce, AnAgentThatSpeaksOfAllIdentitiesAtOnceIsTakenAtItsWord) {
  RulesInForce rules(File(false), "unix:/agent", true);
  auto view = std::make_shared<MeshUpdate>(*View(1, true, "a"));
  view->spiffe_ids.push_back(Id("metrics"));
  rules.SetView(view, Source::kAgent);
  EXPECT_FALSE(rules.SetIdentity(Id("metrics")));
  EXPECT_TRUE(rules.Usable().ok());
}

TEST(RulesInForce, RulesOfAnotherOfTheWorkloadsIdentitiesDoNotHold) {
  RulesInForce rules(File(false), "unix:/agent", true);
  EXPECT_FALSE(rules.SetIdentity(Id("web")));
  EXPECT_TRUE(rules.SetView(ViewOf("metrics", 7), Source::kAgent));
  EXPECT_FALSE(rules.Usable().ok());
  EXPECT_TRUE(rules.Combined().inbound.rules().empty());
  EXPECT_EQ(rules.Combined().bans.all().size(), 2u);
  EXPECT_EQ(rules.version_in_force(), 0u);
  EXPECT_TRUE(rules.SetView(ViewOf("web", 7), Source::kAgent));
  EXPECT_TRUE(rules.Usable().ok());
  EXPECT_EQ(rules.Combined().inbound.rules()[0].name, "web");
  EXPECT_EQ(rules.version_in_force(), 7u);
  // As after a reconnect, before the agent has heard what is shown: what held goes on, and the bans are the newest.
  auto other = std::make_shared<MeshUpdate>(*ViewOf("metrics", 8));
  other->bans.push_back(BanOf("serial:0b"));
  EXPECT_TRUE(rules.SetView(other, Source::kAgent));
  EXPECT_EQ(rules.Combined().inbound.rules()[0].name, "web");
  EXPECT_EQ(rules.Combined().bans.all().size(), 3u);
  EXPECT_EQ(rules.version_in_force(), 7u);
}

TEST(RulesInForce, OfViewsThatCameBeforeTheIdentityItsOwnHolds) {
  RulesInForce rules(File(false), "unix:/agent", true);
  rules.SetView(ViewOf("web", 7), Source::kDisk);
  rules.SetView(ViewOf("metrics", 8), Source::kAgent);
  EXPECT_TRUE(rules.SetIdentity(Id("web")));
  EXPECT_TRUE(rules.Usable().ok());
  EXPECT_EQ(rules.Combined().inbound.rules()[0].name, "web");
  EXPECT_EQ(rules.version_in_force(), 7u);
}

TEST(RulesInForce, AnotherIdentityAtRunTimeWaitsForItsRulesWithThoseOfBefore) {
  RulesInForce rules(File(false), "unix:/agent", true);
  rules.SetView(ViewOf("web", 7), Source::kAgent);
  EXPECT_FALSE(rules.SetIdentity(Id("web")));
  EXPECT_FALSE(rules.SetIdentity(Id("metrics")));
  EXPECT_EQ(rules.Combined().inbound.rules()[0].name, "web");
  EXPECT_TRUE(rules.SetView(ViewOf("metrics", 7), Source::kAgent));
  EXPECT_EQ(rules.Combined().inbound.rules()[0].name, "metrics");
}

TEST(RulesInForce, WithRulesOfTheFileAViewIsInForceWhosesoeverItIs) {
  RulesInForce rules(File(true), "unix:/agent", true);
  rules.SetIdentity(Id("web"));
  rules.SetView(ViewOf("metrics", 7), Source::kAgent);
  EXPECT_EQ(rules.version_in_force(), 7u) << "its bans are all that it has to say";
}

TEST(RulesInForce, AChangedFileIsCombinedAnew) {
  RulesInForce rules(File(false), "unix:/agent", true);
  rules.SetView(View(1, true, "a"), Source::kAgent);
  rules.SetFile(File(true));
  EXPECT_TRUE(rules.rules_from_file());
  EXPECT_EQ(rules.Combined().inbound.rules()[0].name, "of-file");
}

}  // namespace
}  // namespace lanyard
