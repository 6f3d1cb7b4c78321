#include "identity/authority/authority_service.h"

#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "identity/authority/service_testing.h"

namespace lanyard {
namespace {

namespace v1 = authority::v1;

class AuthorityServiceTest : public testing::Test {
 protected:
  grpc::Status Sign(const v1::SignX509SvidsRequest& request, v1::SignX509SvidsResponse* response) {
    grpc::ClientContext call;
    return served_.stub->SignX509Svids(&call, request, response);
  }
  static std::vector<Certificate> Parse(const v1::Svid& svid) {
    std::vector<Certificate> chain;
    for (const std::string& der : svid.chain()) {
      chain.push_back(
          *Certificate::Parse(absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(der.data()), der.size())));
    }
    return chain;
  }
  ServedAuthority served_;
  AuthorityParts& parts_ = served_.parts;
};

TEST_F(AuthorityServiceTest, AttestsAnAnonymousCallerOnce) {
  v1::AttestRequest request;
  request.set_join_token(parts_.registry->CreateJoinToken("n1", absl::Minutes(1))->text);
  request.set_csr(NewCsr());
  v1::AttestResponse response;
  grpc::ClientContext first;
  ASSERT_TRUE(served_.stub->Attest(&first, request, &response).ok());
  EXPECT_EQ(parts_.Verify(Parse(response.svid()))->id.ToString(), "spiffe://example.org/lanyard/agent/n1");
  ASSERT_EQ(response.bundles_size(), 1);
  EXPECT_EQ(served_.disconnected(), std::vector<SpiffeId>{*AgentId(parts_.trust_domain, "n1")})
      << "what an SVID before it has open ends";
  grpc::ClientContext second;
  EXPECT_EQ(served_.stub->Attest(&second, request, &response).error_code(), grpc::StatusCode::PERMISSION_DENIED);
}

TEST_F(AuthorityServiceTest, EveryOtherCallNeedsANodesSvid) {
  VerifiedSvid stranger = parts_.AttestedNode("n1");
  stranger.id = *AgentId(parts_.trust_domain, "n2");
  for (const bool anonymous : {true, false}) {
    served_.CallAs(anonymous ? std::nullopt : std::optional(stranger));
    const grpc::StatusCode expected =
        anonymous ? grpc::StatusCode::UNAUTHENTICATED : grpc::StatusCode::PERMISSION_DENIED;
    grpc::ClientContext renew, watch;
    v1::RenewNodeRequest request;
    request.set_csr(NewCsr());
    v1::RenewNodeResponse renewed;
    EXPECT_EQ(served_.stub->RenewNode(&renew, request, &renewed).error_code(), expected);
    v1::SignX509SvidsResponse signed_svids;
    EXPECT_EQ(Sign({}, &signed_svids).error_code(), expected);
    const auto stream = served_.stub->WatchNode(&watch, {});
    v1::NodeState state;
    EXPECT_FALSE(stream->Read(&state));
    EXPECT_EQ(stream->Finish().error_code(), expected);
  }
}

TEST_F(AuthorityServiceTest, RenewsTheCallersOwnSvid) {
  served_.CallAs(parts_.AttestedNode("n1"));
  v1::RenewNodeRequest request;
  request.set_csr(NewCsr());
  v1::RenewNodeResponse response;
  grpc::ClientContext call;
  ASSERT_TRUE(served_.stub->RenewNode(&call, request, &response).ok());
  EXPECT_EQ(parts_.Verify(Parse(response.svid()))->id.ToString(), "spiffe://example.org/lanyard/agent/n1");
  EXPECT_EQ(response.bundles_size(), 1);
}

TEST_F(AuthorityServiceTest, SignsForTheCallersEntriesEachByItself) {
  const VerifiedSvid node = parts_.AttestedNode("n1");
  served_.CallAs(node);
  const Entry own = parts_.CreateEntry("/own", node.id.ToString());
  const Entry foreign = parts_.CreateEntry("/foreign", "spiffe://example.org/lanyard/agent/n2");
  const Entry shared = parts_.CreateEntry("/shared");
  v1::SignX509SvidsRequest request;
  for (const std::string& id : {own.id(), foreign.id(), std::string("none"), shared.id(), shared.id()}) {
    v1::SignX509SvidsRequest::One* one = request.add_requests();
    one->set_entry_id(id);
    one->set_csr(NewCsr());
  }
  request.mutable_requests(4)->set_csr("not DER");
  v1::SignX509SvidsResponse response;
  ASSERT_TRUE(Sign(request, &response).ok());
  ASSERT_EQ(response.results_size(), 5);
  EXPECT_EQ(parts_.Verify(Parse(response.results(0).svid()))->id, own.spiffe_id());
  EXPECT_EQ(response.results(1).code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_FALSE(response.results(1).has_svid());
  EXPECT_EQ(response.results(2).code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(parts_.Verify(Parse(response.results(3).svid()))->id, shared.spiffe_id());
  EXPECT_EQ(response.results(3).code(), 0);
  EXPECT_EQ(response.results(4).code(), grpc::StatusCode::INVALID_ARGUMENT);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(response.results(i).entry_id(), request.requests(i).entry_id());
}

TEST_F(AuthorityServiceTest, LimitsHowOftenAnAgentHasOneEntrySigned) {
  const VerifiedSvid node = parts_.AttestedNode("n1");
  const Entry web = parts_.CreateEntry("/web"), db = parts_.CreateEntry("/db");
  served_.CallAs(node);
  v1::SignX509SvidsRequest request;
  for (int i = 0; i <= SigningAllowance::kAtOnce; ++i) {
    v1::SignX509SvidsRequest::One* one = request.add_requests();
    one->set_entry_id(web.id());
    one->set_csr(NewCsr());
  }
  *request.add_requests() = request.requests(0);
  request.mutable_requests()->rbegin()->set_entry_id(db.id());
  v1::SignX509SvidsResponse response;
  ASSERT_TRUE(Sign(request, &response).ok());
  for (int i = 0; i < SigningAllowance::kAtOnce; ++i) EXPECT_TRUE(response.results(i).has_svid()) << i;
  const auto& refused = response.results(SigningAllowance::kAtOnce);
  EXPECT_EQ(refused.code(), grpc::StatusCode::RESOURCE_EXHAUSTED) << refused.message();
  EXPECT_FALSE(refused.has_svid());
  EXPECT_TRUE(response.results(SigningAllowance::kAtOnce + 1).has_svid()) << "another entry";
  EXPECT_EQ(served_.issuing.refused(RefusalReason::kLimit), 1u);
  EXPECT_EQ(parts_.store.ListIssuances(node.id, parts_.clock.Now())->size(), SigningAllowance::kAtOnce + 1u);
  served_.CallAs(parts_.AttestedNode("n2"));
  ASSERT_TRUE(Sign(request, &response).ok());
  EXPECT_TRUE(response.results(0).has_svid()) << "another agent";
}

TEST_F(AuthorityServiceTest, WhatIsRefusedOtherwiseCostsNothingOfTheAllowance) {
  served_.CallAs(parts_.AttestedNode("n1"));
  const Entry web = parts_.CreateEntry("/web");
  v1::SignX509SvidsRequest request;
  for (int i = 0; i <= SigningAllowance::kAtOnce; ++i) {
    v1::SignX509SvidsRequest::One* one = request.add_requests();
    one->set_entry_id(web.id());
    one->set_csr("not DER");
  }
  v1::SignX509SvidsResponse response;
  for (int call = 0; call < 2; ++call) ASSERT_TRUE(Sign(request, &response).ok());
  request.mutable_requests(0)->set_csr(NewCsr());
  ASSERT_TRUE(Sign(request, &response).ok());
  EXPECT_TRUE(response.results(0).has_svid()) << response.results(0).message();
}

TEST_F(AuthorityServiceTest, LimitsTheRequestsOfOneCall) {
  served_.CallAs(parts_.AttestedNode("n1"));
  v1::SignX509SvidsRequest request;
  for (int i = 0; i <= kMaxSignRequests; ++i) request.add_requests();
  v1::SignX509SvidsResponse response;
  EXPECT_EQ(Sign(request, &response).error_code(), grpc::StatusCode::INVALID_ARGUMENT);
}

}  // namespace
}  // namespace lanyard
