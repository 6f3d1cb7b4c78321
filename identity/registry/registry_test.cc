#include "identity/registry/registry.h"

#include <string>

#include "gtest/gtest.h"
#include "identity/base/fake_clock.h"
#include "identity/base/fake_random.h"
#include "identity/registry/fake_store.h"
#include "identity/spiffe/fake_ca.h"

namespace lanyard {
namespace {

class RegistryTest : public testing::Test {
 protected:
  RegistryTest() { Reopen(); }

  void Reopen(Registry::Limits limits = {}) {
    auto opened = Registry::Open(*TrustDomain::Parse("example.org"), limits, store_, clock_, random_);
    ASSERT_TRUE(opened.ok()) << opened.status();
    registry_ = *std::move(opened);
    registry_->SetOnChange([this] { ++changes_; });
  }
  static EntryFields Web(const std::string& path = "/web") {
    EntryFields fields;
    fields.spiffe_id = "spiffe://example.org" + path;
    fields.selectors = {"unix:uid:33"};
    return fields;
  }

  FakeClock clock_;
  FakeRandom random_;
  FakeStore store_;
  std::unique_ptr<Registry> registry_;
  int changes_ = 0;
};

TEST_F(RegistryTest, ACreatedEntryIsInTheSnapshotAndAfterARestart) {
  const auto before = registry_->snapshot();
  EntryFields fields = Web();
  fields.id = "chosen by the caller";
  const auto entry = registry_->CreateEntry(fields);
  ASSERT_TRUE(entry.ok()) << entry.status();
  EXPECT_NE(entry->id(), fields.id);
  EXPECT_EQ(entry->created_at(), clock_.Now());
  EXPECT_EQ(registry_->snapshot()->entries.at(entry->id()), *entry);
  EXPECT_GT(registry_->snapshot()->revision, before->revision);
  EXPECT_TRUE(before->entries.empty()) << "a snapshot never changes";
  EXPECT_EQ(changes_, 1);
  const uint64_t revision = registry_->snapshot()->revision;
  Reopen();
  EXPECT_EQ(registry_->snapshot()->entries.at(entry->id()), *entry);
  EXPECT_EQ(registry_->snapshot()->revision, revision) << "counted here as in the store";
}

TEST_F(RegistryTest, TheSameEntryIsRefusedByName) {
  const auto first = registry_->CreateEntry(Web());
  const auto second = registry_->CreateEntry(Web());
  EXPECT_TRUE(absl::IsAlreadyExists(second.status()));
  EXPECT_NE(second.status().message().find(first->id()), absl::string_view::npos) << second.status();
  EXPECT_EQ(changes_, 1);
}

TEST_F(RegistryTest, RefusesALifetimeThatNoIntermediateCanHold) {
  Reopen({.max_x509_svid_ttl = absl::Minutes(30)});
  EntryFields fields = Web();
  fields.x509_svid_ttl = absl::Minutes(31);
  const absl::Status refused = registry_->CreateEntry(fields).status();
  EXPECT_TRUE(absl::IsInvalidArgument(refused));
  EXPECT_NE(refused.message().find("30m"), absl::string_view::npos) << refused;
  fields.x509_svid_ttl = absl::Minutes(30);
  EXPECT_TRUE(registry_->CreateEntry(fields).ok());
}

TEST_F(RegistryTest, RefusesALifetimeThatCannotBeRenewedInTime) {
  EntryFields fields = Web();
  fields.x509_svid_ttl = absl::Seconds(1);
  const absl::Status refused = registry_->CreateEntry(fields).status();
  EXPECT_TRUE(absl::IsInvalidArgument(refused));
  EXPECT_NE(refused.message().find("below 2s"), absl::string_view::npos) << refused;
  fields.x509_svid_ttl = absl::Seconds(2);
  EXPECT_TRUE(registry_->CreateEntry(fields).ok());
}

TEST_F(RegistryTest, NamesABadLifetimeBesideTheOtherMistakes) {
  EntryFields fields = Web();
  fields.selectors = {"unix:uid:none"};
  fields.x509_svid_ttl = absl::Hours(99999);
  const absl::Status refused = registry_->CreateEntry(fields).status();
  EXPECT_NE(refused.message().find("unix:uid:none"), absl::string_view::npos) << refused;
  EXPECT_NE(refused.message().find("99999h"), absl::string_view::npos) << refused;
}

TEST_F(RegistryTest, HasALimitOfEntries) {
  Reopen({.max_entries = 1});
  ASSERT_TRUE(registry_->CreateEntry(Web("/a")).ok());
  EXPECT_TRUE(absl::IsResourceExhausted(registry_->CreateEntry(Web("/b")).status()));
}

TEST_F(RegistryTest, NoAgentHasMoreEntriesThanItServes) {
  Reopen({.max_entries_per_agent = 3});
  const auto of = [](const std::string& path, const std::string& node) {
    EntryFields fields = Web(path);
    fields.parent_id = "spiffe://example.org/lanyard/agent/" + node;
    return fields;
  };
  ASSERT_TRUE(registry_->CreateEntry(of("/a", "n1")).ok());
  ASSERT_TRUE(registry_->CreateEntry(of("/b", "n1")).ok());
  for (const char* path : {"/a", "/b", "/c"}) ASSERT_TRUE(registry_->CreateEntry(of(path, "n2")).ok());
  EXPECT_TRUE(absl::IsResourceExhausted(registry_->CreateEntry(Web()).status())) << "n2 would have four";
  const absl::Status refused = registry_->CreateEntry(of("/d", "n2")).status();
  EXPECT_TRUE(absl::IsResourceExhausted(refused));
  EXPECT_NE(refused.message().find("agent/n2 would have more than 3 entries"), absl::string_view::npos) << refused;
  EXPECT_EQ(store_.ListEntries()->size(), 5u) << "what is refused is not kept";
  const auto third = registry_->CreateEntry(of("/c", "n1"));
  ASSERT_TRUE(third.ok()) << "another agent's do not count: " << third.status();
  const auto all = registry_->snapshot();
  for (const auto& [id, entry] : all->entries) ASSERT_TRUE(registry_->DeleteEntry(id).ok());
  for (const char* path : {"/x", "/y", "/z"}) ASSERT_TRUE(registry_->CreateEntry(Web(path)).ok());
  EXPECT_TRUE(absl::IsResourceExhausted(registry_->CreateEntry(of("/a", "n1")).status()))
      << "those of every agent count for each";
}

TEST_F(RegistryTest, DeletingGivesTheEntryAsItWas) {
  const auto entry = registry_->CreateEntry(Web());
  const auto deleted = registry_->DeleteEntry(entry->id());
  ASSERT_TRUE(deleted.ok()) << deleted.status();
  EXPECT_EQ(*deleted, *entry);
  EXPECT_TRUE(registry_->snapshot()->entries.empty());
  EXPECT_TRUE(absl::IsNotFound(registry_->DeleteEntry(entry->id()).status()));
  EXPECT_EQ(changes_, 2);
}

TEST_F(RegistryTest, WhatTheStoreRefusesIsNotPublished) {
  store_.FailWith(absl::ResourceExhaustedError("the disk is full"));
  EXPECT_TRUE(absl::IsResourceExhausted(registry_->CreateEntry(Web()).status()));
  EXPECT_TRUE(registry_->snapshot()->entries.empty());
  EXPECT_EQ(changes_, 0);
}

TEST_F(RegistryTest, ATokenIsKeptAsAHashAndSpentOnce) {
  const auto token = registry_->CreateJoinToken("n1", absl::ZeroDuration());
  ASSERT_TRUE(token.ok()) << token.status();
  EXPECT_EQ(token->agent_id.ToString(), "spiffe://example.org/lanyard/agent/n1");
  EXPECT_EQ(token->expires_at, clock_.Now() + Registry::kDefaultTokenTtl);
  EXPECT_FALSE(store_.FindJoinToken(token->text).ok()) << "the text itself must not be the key";
  EXPECT_EQ(*registry_->AgentOfToken(token->text), token->agent_id);

  const Certificate svid = FakeCa::Root("example.org").Leaf(token->agent_id.ToString()).chain.front();
  ASSERT_TRUE(registry_->AttestNode(token->text, token->agent_id, svid).ok());
  EXPECT_EQ(registry_->GetNode(token->agent_id)->svid_serial, svid.serial());
  EXPECT_TRUE(absl::IsPermissionDenied(registry_->AgentOfToken(token->text).status()));
  EXPECT_TRUE(absl::IsPermissionDenied(registry_->AttestNode(token->text, token->agent_id, svid)));
}

TEST_F(RegistryTest, TokensExpireAndStrangersAreRefused) {
  const auto token = registry_->CreateJoinToken("", absl::Seconds(30));
  ASSERT_TRUE(token.ok());
  EXPECT_TRUE(IsAgentId(token->agent_id));
  clock_.Advance(absl::Seconds(30));
  EXPECT_TRUE(absl::IsPermissionDenied(registry_->AgentOfToken(token->text).status()));
  for (const std::string& text : {std::string(), std::string("guess"), std::string(10'000, 'a')}) {
    EXPECT_TRUE(absl::IsPermissionDenied(registry_->AgentOfToken(text).status()));
  }
}

TEST_F(RegistryTest, RefusesImpossibleTokens) {
  EXPECT_TRUE(absl::IsInvalidArgument(registry_->CreateJoinToken("n1", absl::Seconds(-1)).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(registry_->CreateJoinToken("n1", absl::Hours(24 * 31)).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(registry_->CreateJoinToken("a/b", absl::Hours(1)).status()));
}

TEST_F(RegistryTest, TheBundleIsTheRootsAmongTheAuthorities) {
  const FakeCa root = FakeCa::Root("example.org");
  const std::vector<AuthorityRecord> records = {
      {AuthorityKind::kRoot, AuthorityState::kActive, root.certificate()},
      {AuthorityKind::kIntermediate, AuthorityState::kActive, root.Intermediate().certificate()}};
  ASSERT_TRUE(registry_->PublishAuthorities(records).ok());
  const auto snapshot = registry_->snapshot();
  EXPECT_EQ(snapshot->authorities, records);
  ASSERT_EQ(snapshot->bundle.authorities().size(), 1u);
  EXPECT_EQ(snapshot->bundle.authorities().front(), root.certificate());
  EXPECT_EQ(changes_, 1);
  ASSERT_TRUE(registry_->PublishAuthorities(records).ok());
  EXPECT_EQ(changes_, 1) << "the same again is no change";
  EXPECT_EQ(registry_->snapshot()->revision, snapshot->revision);
}

}  // namespace
}  // namespace lanyard
