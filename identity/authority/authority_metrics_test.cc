#include "identity/authority/authority_metrics.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "identity/spiffe/fake_ca.h"

namespace lanyard {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(AuthorityMetrics, EveryReasonAndStateIsThereFromTheStart) {
  const IssuingCounters issuing;
  AuthorityFigures figures;
  figures.issuing = &issuing;
  const std::string text = AuthorityMetricsText(figures, {}, absl::UnixEpoch());
  EXPECT_THAT(text, HasSubstr("lanyard_authority_svids_refused_total{reason=\"no_entry\"} 0\n"));
  EXPECT_THAT(text, HasSubstr("lanyard_authority_signing_authorities{kind=\"root\",state=\"prepared\"} 0\n"));
  EXPECT_THAT(text, Not(HasSubstr("expires_in_seconds{")));
  EXPECT_THAT(text, HasSubstr("lanyard_authority_build_info{version=\""));
}

TEST(AuthorityMetrics, WhatSignsSaysHowLongItStillLives) {
  const FakeCa ca = FakeCa::Root("td");
  IssuingCounters issuing;
  issuing.CountSigned(SvidKind::kWorkload);
  issuing.CountRefused(absl::PermissionDeniedError("banned"));
  AuthorityFigures figures;
  figures.issuing = &issuing;
  figures.authorities = {{AuthorityKind::kIntermediate, AuthorityState::kActive, ca.certificate()},
                         {AuthorityKind::kIntermediate, AuthorityState::kRetired, ca.certificate()}};
  figures.agents_connected = 3;
  figures.mesh_version = 7;
  figures.bans = 2;
  figures.banned_svids_not_named = 8;
  figures.streams_limited = 11;
  figures.signings_not_remembered = 10;
  figures.proxy_reports_refused = 5;
  figures.connections_accepted = 9;
  figures.handshakes_failed = 4;
  figures.anonymous_ended = 6;
  const std::string text = AuthorityMetricsText(figures, {}, ca.certificate().not_after() - absl::Seconds(90));
  EXPECT_THAT(text, HasSubstr("lanyard_authority_svids_signed_total{kind=\"workload\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("lanyard_authority_svids_refused_total{reason=\"not_allowed\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("lanyard_authority_signing_authorities{kind=\"intermediate\",state=\"retired\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("lanyard_authority_signing_authority_expires_in_seconds{kind=\"intermediate\"} 90\n"));
  EXPECT_THAT(text, HasSubstr("lanyard_authority_agents_connected 3\n"));
  EXPECT_THAT(text, HasSubstr("lanyard_authority_mesh_view_version 7\n"));
  EXPECT_THAT(text, HasSubstr("lanyard_authority_bans 2\n"));
  EXPECT_THAT(text, HasSubstr("lanyard_authority_banned_svids_not_named 8\n"));
  EXPECT_THAT(text, HasSubstr("lanyard_authority_agent_streams_limited_total 11\n"));
  EXPECT_THAT(text, HasSubstr("lanyard_authority_svids_signed_unlimited_total 10\n"));
  EXPECT_THAT(text, HasSubstr("lanyard_authority_proxy_reports_refused_total 5\n"));
  EXPECT_THAT(text, HasSubstr("lanyard_authority_connections_accepted_total 9\n"));
  EXPECT_THAT(text, HasSubstr("lanyard_authority_connections_refused_total{reason=\"limit\"} 0\n"));
  EXPECT_THAT(text, HasSubstr("lanyard_authority_connections_refused_total{reason=\"handshake\"} 4\n"));
  EXPECT_THAT(text, HasSubstr("lanyard_authority_connections_refused_total{reason=\"anonymous\"} 6\n"));
}

}  // namespace
}  // namespace lanyard
