#include "proxy/control/admin_pages.h"

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "absl/synchronization/notification.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "identity/admin/metric_families.h"
#include "identity/base/fake_clock.h"
#include "identity/spiffe/fake_ca.h"
#include "proxy/control/fake_worker_handle.h"

namespace lanyard {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing::Not;

class AdminPagesTest : public testing::Test {
 protected:
  AdminPagesTest() { loop_.Start(); }
  ~AdminPagesTest() override { loop_.Stop(); }

  AdminResponse Get(const std::string& path) {
    AdminResponse response;
    absl::Notification done;
    loop_.Post([&] {
      pages_.Handle({path}, [&](AdminResponse given) {
        response = std::move(given);
        done.Notify();
      });
    });
    EXPECT_TRUE(done.WaitForNotificationWithTimeout(absl::Seconds(20)));
    return response;
  }

  ControlLoop loop_;
  FakeWorkerHandle a_, b_;
  const FakeCa ca_ = FakeCa::Root("td");
  const FakeLeaf leaf_ = ca_.Leaf("spiffe://td/web");
  FakeClock clock_{ca_.certificate().not_before() + absl::Minutes(61)};
  IdentityRotation rotation_{{std::nullopt, "svid.pem", &clock_, {}, [](auto, bool) {}}};
  absl::Status ready_;
  ControlCounters counters_;
  RulesInForce rules_{{}, "unix:/agent", true};
  Publisher publisher_{{&a_, &b_}, {}, clock_};
  std::string configuration_refused_;
  MeshWatch mesh_{{.address = "unix:/agent", .state_file = "", .clock = &clock_, .on_view = [](auto, auto) {}}, loop_};
  ConnectionTap tap_;
  TapPage tap_page_{loop_, tap_};
  AdminPages pages_{{.loop = &loop_,
                     .workers = {&a_, &b_},
                     .identity = &rotation_,
                     .publisher = &publisher_,
                     .rules = &rules_,
                     .mesh = &mesh_,
                     .tap = &tap_page_,
                     .ready = [this] { return ready_; },
                     .counters = [this] { return counters_; },
                     .close_reasons = {"normal", "banned"},
                     .configuration_refused = [this] { return configuration_refused_; },
                     .worker_timeout = absl::Milliseconds(100)}};
};

TEST_F(AdminPagesTest, LiveAsLongAsTheControlThreadRuns) { EXPECT_EQ(Get("/live").status, 200); }

TEST_F(AdminPagesTest, ReadySaysWhyNot) {
  EXPECT_EQ(Get("/ready").status, 200);
  ready_ = absl::UnavailableError("draining");
  EXPECT_EQ(Get("/ready").status, 503);
  EXPECT_EQ(Get("/ready").body, "draining\n");
}

TEST_F(AdminPagesTest, OtherPathsAreNotThere) {
  for (const char* path : {"/", "/live/", "/metrics2", "//ready", "/../live", ""}) EXPECT_EQ(Get(path).status, 404);
}

TEST_F(AdminPagesTest, MetricsCountEveryWorker) {
  counters_.view_version = 9;
  WorkerCounters counters;
  counters.accepted_outbound = 2;
  a_.SetCounters(counters);
  b_.SetCounters(counters);
  const AdminResponse response = Get("/metrics");
  EXPECT_EQ(response.content_type, kMetricsContentType);
  EXPECT_THAT(response.body, HasSubstr("lanyard_proxy_connections_accepted_total{direction=\"outbound\"} 4\n"));
  EXPECT_THAT(response.body, HasSubstr("lanyard_proxy_view_version 9\n"));
  EXPECT_THAT(response.body, Not(HasSubstr("lanyard_proxy_process_open_fds 0\n")));
}

TEST_F(AdminPagesTest, IdentityShowsCertificatesAndNoKey) {
  EXPECT_EQ(Get("/identity").status, 503);
  WorkloadIdentity offered;
  offered.svids.push_back(leaf_.Svid());
  offered.bundles = ca_.Bundles();
  offered.left_out = {"the bundle of other.org: cut short"};
  rotation_.Offer(std::move(offered));
  const AdminResponse response = Get("/identity");
  EXPECT_EQ(response.status, 200);
  const json identity = json::parse(response.body);
  EXPECT_EQ(identity["spiffe_id"], "spiffe://td/web");
  EXPECT_EQ(identity["serial"], leaf_.Svid().leaf().serial());
  EXPECT_EQ(identity["source"], "svid.pem");
  EXPECT_EQ(identity["withdrawn"], false);
  EXPECT_THAT(identity["not_after"].get<std::string>(), testing::MatchesRegex("20..-..-..T..:..:..Z"));
  ASSERT_EQ(identity["bundles"]["td"].size(), 1u);
  EXPECT_EQ(identity["bundles"]["td"][0]["fingerprint_sha256"].get<std::string>().size(), 64u);
  EXPECT_EQ(identity["bundles_left_out"], json({"the bundle of other.org: cut short"}));
  EXPECT_THAT(response.body, Not(HasSubstr("PRIVATE")));
  EXPECT_THAT(response.body, Not(HasSubstr("key")));
}

TEST_F(AdminPagesTest, ViewShowsWhatIsInForceAndWhereItIsFrom) {
  FileRules file;
  file.of_capture = false;
  rules_.SetFile(file);
  EXPECT_EQ(json::parse(Get("/view").body)["mesh"]["source"], "none");
  auto update = std::make_shared<MeshUpdate>();
  update->version = 12;
  update->spiffe_ids = {*SpiffeId::Parse("spiffe://td/web")};
  update->spiffe_id = update->spiffe_ids.front();
  update->has_rules = true;
  update->routes = {
      {"out/db", {*AddressBlock::Parse("10.0.0.0/8")}, {5432}, RouteAction::kMutualTls,
       {*PeerPattern::Parse("spiffe://td/db")}}};
  update->inbound = *InboundPolicy::Create({{"shop/callers", {80}, {*PeerPattern::Parse("spiffe://td/shop")}, true}});
  update->bans = {{*BanSubject::Parse("serial:0a"), "stolen", absl::InfinitePast(), absl::FromUnixSeconds(0)}};
  rules_.SetView(update, RulesInForce::Source::kDisk);
  const json view = json::parse(Get("/view").body);
  EXPECT_EQ(view["rules_from"], "mesh");
  EXPECT_EQ(view["mesh"]["source"], "disk");
  EXPECT_EQ(view["mesh"]["view_version"], 12);
  EXPECT_EQ(view["mesh"]["connected"], false);
  EXPECT_EQ(view["mesh"]["spiffe_ids"], json({"spiffe://td/web"}));
  EXPECT_EQ(view["mesh"]["rules_of"], "spiffe://td/web");
  EXPECT_EQ(view["inbound"][0]["name"], "shop/callers");
  EXPECT_EQ(view["inbound"][0]["allow_plaintext"], true);
  EXPECT_EQ(view["routes"][0]["destinations"], json({"10.0.0.0/8"}));
  EXPECT_EQ(view["routes"][0]["action"], "mutual_tls");
  EXPECT_EQ(view["default_route"], "pass_through");
  EXPECT_EQ(view["bans"][0]["subject"], "serial:0a");
  EXPECT_EQ(view["bans"][0]["expires_at"], "1970-01-01T00:00:00Z");
  EXPECT_TRUE(view["configuration_refused"].is_null());
  configuration_refused_ = "routes[0].peers: missing";
  EXPECT_EQ(json::parse(Get("/view").body)["configuration_refused"], "routes[0].peers: missing");
}

TEST_F(AdminPagesTest, ConnectionsOfEveryWorker) {
  ConnectionRecord one, two;
  one.id = 1;
  one.peer_id = "spiffe://td/db";
  one.peer_not_after = absl::FromUnixSeconds(1'800'000'000);
  one.age = absl::Milliseconds(1500);
  one.rule = "bytes \xff that are not UTF-8";
  two.id = 2;
  two.worker = 1;
  a_.SetConnections({one});
  b_.SetConnections({two});
  const json connections = json::parse(Get("/connections").body);
  ASSERT_EQ(connections.size(), 2u);
  EXPECT_EQ(connections[0]["peer_id"], "spiffe://td/db");
  EXPECT_EQ(connections[0]["peer_not_after"], "2027-01-15T08:00:00Z");
  EXPECT_EQ(connections[0]["age_ms"], 1500);
  EXPECT_EQ(connections[1]["worker"], 1);
  EXPECT_TRUE(connections[1]["peer_not_after"].is_null());
}

TEST_F(AdminPagesTest, NoConnectionsAreAnEmptyArray) {
  EXPECT_EQ(json::parse(Get("/connections").body), json::array());
}

TEST_F(AdminPagesTest, AWorkerThatDoesNotAnswerIsLeftOut) {
  ConnectionRecord one;
  one.id = 1;
  a_.SetConnections({one});
  b_.Mute();
  const AdminResponse response = Get("/connections");
  EXPECT_EQ(response.status, 504);
  EXPECT_EQ(json::parse(response.body).size(), 1u);
}

TEST_F(AdminPagesTest, WhatWasObservedComesFromEveryWorker) {
  ObservedCall call;
  call.peer_id = call.key = "spiffe://td/a";
  a_.SetObserved({call});
  call.peer_id = call.key = "spiffe://td/b";
  b_.SetObserved({call});
  const json observed = json::parse(Get("/observed").body)["observed"];
  ASSERT_EQ(observed.size(), 2u);
  EXPECT_NE(observed[0]["peer_id"], observed[1]["peer_id"]);
  b_.Mute();
  const AdminResponse late = Get("/observed");
  EXPECT_EQ(late.status, 504);
  EXPECT_EQ(json::parse(late.body)["observed"].size(), 1u);
}

TEST_F(AdminPagesTest, ACallThatSeveralWorkersSawIsOne) {
  ObservedCall call;
  call.key = "a";
  call.count = 3;
  call.last_seen = absl::FromUnixSeconds(1'800'000'000);
  a_.SetObserved({call});
  call.count = 4;
  call.last_seen = absl::FromUnixSeconds(1'700'000'000);
  b_.SetObserved({call});
  const json observed = json::parse(Get("/observed").body)["observed"];
  ASSERT_EQ(observed.size(), 1u);
  EXPECT_EQ(observed[0]["count"], 7);
  EXPECT_EQ(observed[0]["last_seen"], "2027-01-15T08:00:00Z");
}

TEST_F(AdminPagesTest, ATapIsAStreamOfWhatItsFilterSays) {
  AdminResponse response;
  absl::Notification done;
  loop_.Post([&] {
    pages_.Handle({"/tap", "direction=inbound"}, [&](AdminResponse given) {
      response = std::move(given);
      done.Notify();
    });
  });
  ASSERT_TRUE(done.WaitForNotificationWithTimeout(absl::Seconds(20)));
  EXPECT_EQ(response.status, 200);
  EXPECT_NE(response.stream, nullptr);
  EXPECT_TRUE(tap_.watched());
  absl::Notification gone;
  loop_.Post([&] {
    response.stream.reset();
    gone.Notify();
  });
  ASSERT_TRUE(gone.WaitForNotificationWithTimeout(absl::Seconds(20)));
  EXPECT_FALSE(tap_.watched());
}

TEST_F(AdminPagesTest, ATapWithAMistakeSaysWhich) {
  const std::vector<std::pair<std::string, std::string>> mistakes = {
      {"port=http", "port"},
      {"reason=bannd", "did you mean banned?"},
      {"reason=zzzzzz", "write one of normal, banned"}};
  for (const auto& [query, says] : mistakes) {
    AdminResponse response;
    absl::Notification done;
    loop_.Post([&] {
      pages_.Handle({"/tap", query}, [&](AdminResponse given) {
        response = std::move(given);
        done.Notify();
      });
    });
    ASSERT_TRUE(done.WaitForNotificationWithTimeout(absl::Seconds(20)));
    EXPECT_EQ(response.status, 400);
    EXPECT_THAT(response.body, HasSubstr(says));
  }
}

}  // namespace
}  // namespace lanyard
