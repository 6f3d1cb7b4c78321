// What every Store promises, held against each implementation.
#include <stdlib.h>

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "identity/registry/fake_store.h"
#include "identity/registry/sqlite_store.h"
#include "identity/spiffe/fake_ca.h"

namespace lanyard {
namespace {

const absl::Time kNow = absl::FromUnixSeconds(1'800'000'000);

TrustDomain Ours() { return *TrustDomain::Parse("example.org"); }

std::unique_ptr<Store> MakeSqlite() {
  std::string folder = std::string(getenv("TEST_TMPDIR")) + "/store.XXXXXX";
  if (mkdtemp(folder.data()) == nullptr) return nullptr;
  auto store = SqliteStore::Open(folder + "/registry.db", Ours());
  EXPECT_TRUE(store.ok()) << store.status();
  return store.ok() ? *std::move(store) : nullptr;
}

struct Implementation {
  const char* name;
  std::function<std::unique_ptr<Store>()> make;
};

class StoreContract : public testing::TestWithParam<Implementation> {
 protected:
  void SetUp() override {
    store_ = GetParam().make();
    ASSERT_NE(store_, nullptr);
  }

  static Entry MakeEntry(const std::string& id, const std::string& path) {
    EntryFields fields;
    fields.id = id;
    fields.spiffe_id = "spiffe://example.org" + path;
    fields.parent_id = "spiffe://example.org/lanyard/agent/n1";
    fields.selectors = {"unix:uid:1000", "unix:path:/bin/x"};
    fields.x509_svid_ttl = absl::Seconds(90);
    fields.dns_names = {"b.example.org", "a.example.org"};
    fields.hint = "a hint";
    fields.created_at = kNow + absl::Microseconds(7);
    return *Entry::Parse(fields, Ours());
  }
  static SpiffeId Agent(const std::string& name) { return *AgentId(Ours(), name); }
  static JoinToken Token(const std::string& hash, const std::string& agent = "n1") {
    return {hash, Agent(agent), kNow, kNow + absl::Minutes(10), std::nullopt};
  }
  static Node MakeNode(const std::string& name, const std::string& serial = "1f") {
    return {Agent(name), "join_token", kNow + absl::Seconds(1), serial, kNow + absl::Hours(1), kNow};
  }
  uint64_t Revision() { return *store_->Revision(); }

  std::unique_ptr<Store> store_;
};

TEST_P(StoreContract, KeepsEntriesWholeAndInOrder) {
  const Entry second = MakeEntry("a2", "/second");
  const Entry first = MakeEntry("b1", "/first");
  ASSERT_TRUE(store_->CreateEntry(first).ok());
  ASSERT_TRUE(store_->CreateEntry(second).ok());
  const auto entries = store_->ListEntries();
  ASSERT_TRUE(entries.ok()) << entries.status();
  EXPECT_EQ(*entries, (std::vector<Entry>{first, second}));
}

TEST_P(StoreContract, RefusesTheSameEntryAndNamesTheOldOne) {
  ASSERT_TRUE(store_->CreateEntry(MakeEntry("e1", "/x")).ok());
  const uint64_t before = Revision();
  const absl::Status same_key = store_->CreateEntry(MakeEntry("e2", "/x"));
  EXPECT_TRUE(absl::IsAlreadyExists(same_key));
  EXPECT_NE(same_key.message().find("e1"), absl::string_view::npos) << same_key;
  EXPECT_TRUE(absl::IsAlreadyExists(store_->CreateEntry(MakeEntry("e1", "/y"))));
  EXPECT_EQ(store_->ListEntries()->size(), 1u);
  EXPECT_EQ(Revision(), before);
}

TEST_P(StoreContract, DeletesEntriesWithAllThatBelongsToThem) {
  ASSERT_TRUE(store_->CreateEntry(MakeEntry("e1", "/x")).ok());
  ASSERT_TRUE(store_->DeleteEntry("e1").ok());
  EXPECT_TRUE(store_->ListEntries()->empty());
  EXPECT_TRUE(absl::IsNotFound(store_->DeleteEntry("e1")));
  EXPECT_TRUE(store_->CreateEntry(MakeEntry("e1", "/x")).ok());
}

TEST_P(StoreContract, TheRevisionGrowsByOneWithEveryChange) {
  const uint64_t start = Revision();
  ASSERT_TRUE(store_->CreateEntry(MakeEntry("e1", "/x")).ok());
  const uint64_t created = Revision();
  EXPECT_EQ(created, start + 1);
  EXPECT_FALSE(store_->DeleteEntry("none").ok());
  EXPECT_EQ(Revision(), created);
  ASSERT_TRUE(store_->DeleteEntry("e1").ok());
  const uint64_t deleted = Revision();
  EXPECT_EQ(deleted, created + 1);
  ASSERT_TRUE(store_->ReplaceAuthorities({}).ok());
  EXPECT_EQ(Revision(), deleted + 1);
}

TEST_P(StoreContract, ATokenBecomesANodeOnce) {
  ASSERT_TRUE(store_->CreateJoinToken(Token("hash")).ok());
  EXPECT_EQ(*store_->FindJoinToken("hash"), Token("hash"));
  const Node node = MakeNode("n1");
  ASSERT_TRUE(store_->AttestNode("hash", node).ok());
  EXPECT_EQ(*store_->GetNode(node.id), node);
  EXPECT_EQ(store_->FindJoinToken("hash")->used_at, node.attested_at);
  EXPECT_TRUE(absl::IsPermissionDenied(store_->AttestNode("hash", MakeNode("n1", "2f"))));
  EXPECT_EQ(store_->GetNode(node.id)->svid_serial, "1f");
}

TEST_P(StoreContract, RefusesTokensThatAreUnknownExpiredOrAnothers) {
  ASSERT_TRUE(store_->CreateJoinToken(Token("hash")).ok());
  EXPECT_TRUE(absl::IsPermissionDenied(store_->FindJoinToken("other").status()));
  EXPECT_TRUE(absl::IsPermissionDenied(store_->AttestNode("other", MakeNode("n1"))));
  EXPECT_TRUE(absl::IsPermissionDenied(store_->AttestNode("hash", MakeNode("n2"))));
  Node late = MakeNode("n1");
  late.attested_at = kNow + absl::Minutes(10);
  EXPECT_TRUE(absl::IsPermissionDenied(store_->AttestNode("hash", late)));
  EXPECT_TRUE(store_->ListNodes()->empty());
  EXPECT_TRUE(store_->AttestNode("hash", MakeNode("n1")).ok()) << "a refused try must not spend the token";
}

TEST_P(StoreContract, OfManyCallersWithOneTokenOneSucceeds) {
  ASSERT_TRUE(store_->CreateJoinToken(Token("hash")).ok());
  std::atomic<int> succeeded{0};
  std::atomic<int> denied{0};
  std::vector<std::thread> callers;
  for (int i = 0; i < 8; ++i) {
    callers.emplace_back([&, i] {
      const absl::Status status = store_->AttestNode("hash", MakeNode("n1", std::to_string(i)));
      if (status.ok()) ++succeeded;
      if (absl::IsPermissionDenied(status)) ++denied;
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(succeeded, 1);
  EXPECT_EQ(denied, 7);
}

TEST_P(StoreContract, ANewTokenReplacesTheNode) {
  ASSERT_TRUE(store_->CreateJoinToken(Token("one")).ok());
  ASSERT_TRUE(store_->CreateJoinToken(Token("two")).ok());
  ASSERT_TRUE(store_->AttestNode("one", MakeNode("n1", "aa")).ok());
  ASSERT_TRUE(store_->AttestNode("two", MakeNode("n1", "bb")).ok());
  ASSERT_EQ(store_->ListNodes()->size(), 1u);
  EXPECT_EQ(store_->ListNodes()->front().svid_serial, "bb");
}

TEST_P(StoreContract, ForgetsTokensOfLongAgo) {
  ASSERT_TRUE(store_->CreateJoinToken(Token("old")).ok());
  JoinToken young = Token("young");
  young.created_at = kNow + Store::kTokenHistory + absl::Minutes(11);
  young.expires_at = young.created_at + absl::Minutes(10);
  ASSERT_TRUE(store_->CreateJoinToken(young).ok());
  EXPECT_FALSE(store_->FindJoinToken("old").ok());
  EXPECT_TRUE(store_->FindJoinToken("young").ok());
}

TEST_P(StoreContract, UpdatesListsAndDeletesNodes) {
  for (const char* name : {"n2", "n1"}) {
    ASSERT_TRUE(store_->CreateJoinToken(Token(name, name)).ok());
    ASSERT_TRUE(store_->AttestNode(name, MakeNode(name)).ok());
  }
  ASSERT_TRUE(store_->UpdateNodeSvid(Agent("n1"), "2e", kNow + absl::Hours(1), kNow + absl::Hours(2)).ok());
  const auto nodes = store_->ListNodes();
  ASSERT_EQ(nodes->size(), 2u);
  EXPECT_EQ((*nodes)[0].id, Agent("n1"));
  EXPECT_EQ((*nodes)[0].svid_serial, "2e");
  EXPECT_EQ((*nodes)[0].svid_expires_at, kNow + absl::Hours(2));
  EXPECT_EQ((*nodes)[0].min_not_before, kNow) << "the one before is not stolen";
  EXPECT_EQ((*nodes)[1], MakeNode("n2"));
  const absl::Time earlier = kNow - absl::Hours(1);
  ASSERT_TRUE(store_->UpdateNodeSvid(Agent("n1"), "3c", earlier, kNow).ok());
  EXPECT_EQ(store_->GetNode(Agent("n1"))->min_not_before, earlier) << "it is the node's own, whatever the clock says";
  ASSERT_TRUE(store_->DeleteNode(Agent("n1")).ok());
  EXPECT_TRUE(absl::IsNotFound(store_->GetNode(Agent("n1")).status()));
  EXPECT_TRUE(absl::IsNotFound(store_->DeleteNode(Agent("n1"))));
  EXPECT_TRUE(absl::IsNotFound(store_->UpdateNodeSvid(Agent("n1"), "3d", kNow, kNow)));
}

TEST_P(StoreContract, ReplacesAuthoritiesWhole) {
  const FakeCa root = FakeCa::Root("example.org");
  const FakeCa other = FakeCa::Root("example.org");
  const std::vector<AuthorityRecord> first = {
      {AuthorityKind::kRoot, AuthorityState::kActive, root.certificate()},
      {AuthorityKind::kIntermediate, AuthorityState::kPrepared, root.Intermediate().certificate()}};
  const std::vector<AuthorityRecord> second = {{AuthorityKind::kRoot, AuthorityState::kRetired, root.certificate()},
                                               {AuthorityKind::kRoot, AuthorityState::kActive, other.certificate()}};
  EXPECT_TRUE(store_->ListAuthorities()->empty());
  ASSERT_TRUE(store_->ReplaceAuthorities(first).ok());
  EXPECT_EQ(*store_->ListAuthorities(), first);
  ASSERT_TRUE(store_->ReplaceAuthorities(second).ok());
  EXPECT_EQ(*store_->ListAuthorities(), second);
}

TEST_P(StoreContract, ChangesTheMeshInOneStep) {
  const PeerPattern web = *PeerPattern::Parse("spiffe://example.org/web");
  const PolicyRecord policy{{"web", {web}, {{"all", {}, {web}, false}}}, 1, kNow + absl::Microseconds(7)};
  const RoutesRecord routes{{"out", {web}, {{"all", {}, {}, RouteAction::kRefuse, {}}}, 3}, 1, kNow};
  const Ban lasting{*BanSubject::Parse("spiffe://example.org/a/*"), "why", kNow + absl::Microseconds(7)};
  const Ban ending{*BanSubject::Parse("serial:0a"), "", kNow, kNow + absl::Seconds(1)};
  MeshChange change{.version = 1, .put_policies = {policy}, .put_routes = {routes}, .put_bans = {lasting, ending}};
  ASSERT_TRUE(store_->ChangeMesh(change).ok());
  auto records = store_->ListMeshRecords();
  ASSERT_TRUE(records.ok()) << records.status();
  EXPECT_EQ(records->version, 1u);
  EXPECT_EQ(records->rules.policies.at("web"), policy);
  EXPECT_EQ(records->rules.routes.at("out"), routes);
  EXPECT_EQ(records->bans, (std::vector<Ban>{ending, lasting}));

  PolicyRecord changed = policy;
  changed.policy.rules.clear();
  changed.version = 2;
  Ban longer = ending;
  longer.expires_at = absl::InfiniteFuture();
  ASSERT_TRUE(store_
                  ->ChangeMesh({.version = 2,
                                .put_policies = {changed},
                                .delete_policies = {"not there"},
                                .delete_routes = {"out"},
                                .put_bans = {longer},
                                .delete_bans = {lasting.subject}})
                  .ok());
  records = store_->ListMeshRecords();
  EXPECT_EQ(records->version, 2u);
  EXPECT_EQ(records->rules.policies.at("web"), changed);
  EXPECT_TRUE(records->rules.routes.empty());
  EXPECT_EQ(records->bans, std::vector<Ban>{longer});
}

TEST_P(StoreContract, RemembersIssuancesUntilTheyEnd) {
  const SpiffeId web = *SpiffeId::Parse("spiffe://example.org/web");
  const Issuance first{"0a", web, Agent("n1"), kNow + absl::Seconds(10)};
  const Issuance second{"0b", web, Agent("n1"), kNow + absl::Seconds(20)};
  const Issuance other{"0c", web, Agent("n2"), kNow + absl::Seconds(20)};
  ASSERT_TRUE(store_->RecordIssuances({second, first, other}, kNow).ok());
  EXPECT_EQ(*store_->ListIssuances(Agent("n1"), kNow), (std::vector<Issuance>{first, second}));
  EXPECT_EQ(*store_->ListIssuances(Agent("n1"), kNow + absl::Seconds(10)), std::vector<Issuance>{second});
  ASSERT_TRUE(store_->RecordIssuances({}, kNow + absl::Seconds(15)).ok());
  EXPECT_EQ(*store_->ListIssuances(Agent("n1"), kNow), std::vector<Issuance>{second}) << "the first has ended";
}

INSTANTIATE_TEST_SUITE_P(Stores, StoreContract,
                         testing::Values(Implementation{"Fake", [] { return std::make_unique<FakeStore>(); }},
                                         Implementation{"Sqlite", MakeSqlite}),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace lanyard
