#include "identity/agent/agent_metrics.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "identity/agent/entry.h"
#include "identity/spiffe/fake_ca.h"

namespace lanyard {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(AgentMetrics, BeforeThereIsAnythingNothingExpires) {
  const std::string text = AgentMetricsText({}, {}, absl::UnixEpoch());
  EXPECT_THAT(text, HasSubstr("lanyard_agent_svids 0\n"));
  EXPECT_THAT(text, HasSubstr("lanyard_agent_authority_connected 0\n"));
  EXPECT_THAT(text, Not(HasSubstr("expires_in_seconds")));
  EXPECT_THAT(text, Not(HasSubstr("mesh_view_version")));
  EXPECT_THAT(text, HasSubstr("lanyard_agent_build_info{version=\""));
}

TEST(AgentMetrics, TheSvidThatExpiresFirstIsTheOneThatIsShown) {
  const FakeCa ca = FakeCa::Root("td");
  const X509Svid svid = ca.Leaf("spiffe://td/web").Svid();
  auto view = std::make_shared<WorkloadView>(
      WorkloadView{.version = 1, .trust_domain = *TrustDomain::Parse("td"), .items = {}, .bundles = {}, .mesh = {}});
  auto mesh = std::make_shared<NodeMesh>();
  mesh->version = 9;
  view->mesh = std::move(mesh);
  view->items.push_back({nullptr, svid});
  view->items.push_back({nullptr, std::nullopt});
  AgentFigures figures;
  figures.view = view;
  figures.entries_left_out = 3;
  figures.svids_renewed = 4;
  figures.svid_failures = 5;
  figures.streams_open = 6;
  figures.observed_left_out = 2;
  figures.connected = true;
  figures.connections_ended = 7;
  figures.node_not_after = svid.not_after() + absl::Seconds(30);
  const std::string text = AgentMetricsText(figures, {}, svid.not_after() - absl::Seconds(12));
  EXPECT_THAT(text, HasSubstr("lanyard_agent_entries 2\n"));
  EXPECT_THAT(text, HasSubstr("lanyard_agent_entries_left_out 3\n"));
  EXPECT_THAT(text, HasSubstr("lanyard_agent_svids 1\n"));
  EXPECT_THAT(text, HasSubstr("lanyard_agent_svid_expires_in_seconds 12\n"));
  EXPECT_THAT(text, HasSubstr("lanyard_agent_svid_remaining_ratio 0.0"));
  EXPECT_THAT(text, HasSubstr("lanyard_agent_node_identity_expires_in_seconds 42\n"));
  EXPECT_THAT(text, HasSubstr("lanyard_agent_svid_renewals_total{result=\"renewed\"} 4\n"));
  EXPECT_THAT(text, HasSubstr("lanyard_agent_svid_renewals_total{result=\"failed\"} 5\n"));
  EXPECT_THAT(text, HasSubstr("lanyard_agent_streams_open 6\n"));
  EXPECT_THAT(text, HasSubstr("lanyard_agent_proxy_reports_left_out_total{report=\"status\"} 0\n"));
  EXPECT_THAT(text, HasSubstr("lanyard_agent_proxy_reports_left_out_total{report=\"observed\"} 2\n"));
  EXPECT_THAT(text, HasSubstr("lanyard_agent_authority_connected 1\n"));
  EXPECT_THAT(text, HasSubstr("lanyard_agent_mesh_view_version 9\n"));
  EXPECT_THAT(text, HasSubstr("lanyard_agent_connections_refused_total{when=\"accept\"} 0\n"));
  EXPECT_THAT(text, HasSubstr("lanyard_agent_connections_refused_total{when=\"later\"} 7\n"));
}

}  // namespace
}  // namespace lanyard
