#include "identity/registry/entry.h"

#include <string>

#include "gtest/gtest.h"

namespace lanyard {
namespace {

TrustDomain Ours() { return *TrustDomain::Parse("example.org"); }

EntryFields Web() {
  EntryFields fields;
  fields.id = "e1";
  fields.spiffe_id = "spiffe://example.org/web";
  fields.selectors = {"unix:uid:33", "unix:path:/usr/sbin/nginx"};
  return fields;
}

std::string ProblemsOf(const EntryFields& fields) {
  const auto entry = Entry::Parse(fields, Ours());
  EXPECT_TRUE(absl::IsInvalidArgument(entry.status()));
  return std::string(entry.status().message());
}

TEST(EntryTest, KeepsWhatWasWritten) {
  EntryFields fields = Web();
  fields.parent_id = "spiffe://example.org/lanyard/agent/n1";
  fields.x509_svid_ttl = absl::Minutes(5);
  fields.dns_names = {"web.example.org"};
  fields.hint = "front";
  const auto entry = Entry::Parse(fields, Ours());
  ASSERT_TRUE(entry.ok()) << entry.status();
  EXPECT_EQ(entry->spiffe_id().ToString(), "spiffe://example.org/web");
  EXPECT_EQ(entry->parent()->ToString(), fields.parent_id);
  EXPECT_EQ(entry->selectors().size(), 2u);
  EXPECT_EQ(entry->x509_svid_ttl(), absl::Minutes(5));
  EXPECT_EQ(entry->dns_names(), fields.dns_names);
  EXPECT_EQ(entry->hint(), "front");
}

TEST(EntryTest, SelectorsAreASet) {
  EntryFields turned = Web();
  turned.selectors = {"unix:path:/usr/sbin/nginx", "unix:uid:33", "unix:uid:33"};
  EXPECT_EQ(Entry::Parse(turned, Ours())->UniqueKey(), Entry::Parse(Web(), Ours())->UniqueKey());
  turned.selectors = {"unix:uid:33"};
  EXPECT_NE(Entry::Parse(turned, Ours())->UniqueKey(), Entry::Parse(Web(), Ours())->UniqueKey());
}

TEST(EntryTest, WithoutAParentItIsForEveryAgent) {
  const SpiffeId one = *AgentId(Ours(), "n1");
  const SpiffeId two = *AgentId(Ours(), "n2");
  EntryFields fields = Web();
  EXPECT_TRUE(Entry::Parse(fields, Ours())->IsFor(two));
  fields.parent_id = one.ToString();
  EXPECT_TRUE(Entry::Parse(fields, Ours())->IsFor(one));
  EXPECT_FALSE(Entry::Parse(fields, Ours())->IsFor(two));
}

TEST(EntryTest, RefusesIdsThatAreNotOursToGive) {
  for (const char* id : {"spiffe://other.org/web", "spiffe://example.org", "spiffe://example.org/lanyard/agent/n1",
                         "spiffe://example.org/lanyard/authority", "spiffe://example.org/lanyard", "web", ""}) {
    EntryFields fields = Web();
    fields.spiffe_id = id;
    EXPECT_NE(ProblemsOf(fields), "") << id;
  }
  EntryFields fields = Web();
  fields.spiffe_id = "spiffe://example.org/lanyards";
  EXPECT_TRUE(Entry::Parse(fields, Ours()).ok());
}

TEST(EntryTest, RefusesParentsThatAreNotAgents) {
  for (const char* parent : {"spiffe://other.org/lanyard/agent/n1", "spiffe://example.org/web", "n1",
                             "spiffe://example.org/lanyard/agent/n1/x", "spiffe://example.org/lanyard/agent"}) {
    EntryFields fields = Web();
    fields.parent_id = parent;
    EXPECT_NE(ProblemsOf(fields), "") << parent;
  }
}

TEST(EntryTest, RefusesImpossibleLifetimesNamesAndHints) {
  EntryFields fields = Web();
  fields.x509_svid_ttl = absl::Seconds(-1);
  EXPECT_NE(ProblemsOf(fields).find("-1s"), std::string::npos);
  fields = Web();
  fields.x509_svid_ttl = absl::Milliseconds(1500);
  EXPECT_NE(ProblemsOf(fields).find("1.5s"), std::string::npos);
  for (const char* name : {"", "Web", "a..b", "-a", "a_b", "*.example.org"}) {
    fields = Web();
    fields.dns_names = {name};
    EXPECT_NE(ProblemsOf(fields).find("DNS name"), std::string::npos) << name;
  }
  fields = Web();
  fields.hint = "a\nb";
  EXPECT_NE(ProblemsOf(fields).find("hint"), std::string::npos);
}

TEST(EntryTest, ReportsEveryProblemAtOnce) {
  EntryFields fields;
  fields.spiffe_id = "spiffe://other.org/x";
  fields.parent_id = "nobody";
  fields.x509_svid_ttl = absl::Seconds(-5);
  const std::string problems = ProblemsOf(fields);
  for (const char* part : {"other.org", "nobody", "no selector", "-5s"}) {
    EXPECT_NE(problems.find(part), std::string::npos) << part << " in " << problems;
  }
}

TEST(EntryTest, NodeNamesAreOneSegment) {
  EXPECT_EQ(AgentId(Ours(), "node-1.rack_2")->ToString(), "spiffe://example.org/lanyard/agent/node-1.rack_2");
  for (const std::string& name : {std::string(""), std::string("."), std::string(".."), std::string("a/b"),
                                  std::string("a b"), std::string(129, 'a')}) {
    EXPECT_TRUE(absl::IsInvalidArgument(AgentId(Ours(), name).status())) << name;
  }
}

}  // namespace
}  // namespace lanyard
