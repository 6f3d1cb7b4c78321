#include "identity/authority/node_attestation.h"

#include <algorithm>
#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "absl/time/clock.h"
#include "gtest/gtest.h"
#include "identity/authority/authority_testing.h"

namespace lanyard {
namespace {

class NodeAttestationTest : public testing::Test {
 protected:
  std::string Token(const std::string& name = "n1") {
    return parts_.registry->CreateJoinToken(name, absl::Minutes(1))->text;
  }
  AuthorityParts parts_;
};

TEST_F(NodeAttestationTest, ATokenBecomesANodeSvidOnce) {
  const std::string token = Token();
  const auto chain = parts_.attestation->Attest(token, NewCsr());
  ASSERT_TRUE(chain.ok()) << chain.status();
  const auto verified = parts_.Verify(*chain);
  ASSERT_TRUE(verified.ok());
  EXPECT_EQ(verified->id.ToString(), "spiffe://example.org/lanyard/agent/n1");
  EXPECT_EQ(parts_.registry->GetNode(verified->id)->svid_serial, verified->serial);
  EXPECT_TRUE(absl::IsPermissionDenied(parts_.attestation->Attest(token, NewCsr()).status()));
}

TEST_F(NodeAttestationTest, ABadRequestDoesNotSpendTheToken) {
  const std::string token = Token();
  EXPECT_TRUE(absl::IsInvalidArgument(parts_.attestation->Attest(token, "not DER").status()));
  EXPECT_TRUE(parts_.attestation->Attest(token, NewCsr()).ok());
}

TEST_F(NodeAttestationTest, RefusesTokensThatAreUnknownOrExpired) {
  EXPECT_TRUE(absl::IsPermissionDenied(parts_.attestation->Attest("guess", NewCsr()).status()));
  const std::string token = Token();
  parts_.clock.Advance(absl::Minutes(1));
  EXPECT_TRUE(absl::IsPermissionDenied(parts_.attestation->Attest(token, NewCsr()).status()));
}

TEST_F(NodeAttestationTest, WhoGuessesTokensDoesNotFillTheLog) {
  testing::internal::CaptureStderr();
  const absl::Time begin = absl::Now();
  for (int i = 0; i < 100; ++i) EXPECT_FALSE(parts_.attestation->Attest("guess", NewCsr()).ok());
  const int64_t seconds = absl::ToInt64Seconds(absl::Now() - begin) + 1;
  const std::string log = testing::internal::GetCapturedStderr();
  EXPECT_GE(std::count(log.begin(), log.end(), '\n'), 1);
  EXPECT_LE(std::count(log.begin(), log.end(), '\n'), seconds + 1);
}

TEST_F(NodeAttestationTest, OfManyCallersWithOneTokenOneBecomesTheNode) {
  const std::string token = Token();
  std::atomic<int> attested{0}, denied{0};
  std::vector<std::thread> callers;
  for (int i = 0; i < 8; ++i) {
    callers.emplace_back([&] {
      const auto chain = parts_.attestation->Attest(token, NewCsr());
      if (chain.ok()) ++attested;
      if (absl::IsPermissionDenied(chain.status())) ++denied;
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(attested, 1);
  EXPECT_EQ(denied, 7);
}

TEST_F(NodeAttestationTest, RecognisesOnlyRegisteredNodes) {
  const VerifiedSvid node = parts_.AttestedNode("n1");
  EXPECT_EQ(*parts_.attestation->Recognise(node), node.id);
  EXPECT_TRUE(absl::IsUnauthenticated(parts_.attestation->Recognise(std::nullopt).status()));

  VerifiedSvid workload = node;
  workload.id = *SpiffeId::Parse("spiffe://example.org/web");
  EXPECT_TRUE(absl::IsPermissionDenied(parts_.attestation->Recognise(workload).status()));
  VerifiedSvid unknown = node;
  unknown.id = *AgentId(parts_.trust_domain, "n2");
  EXPECT_TRUE(absl::IsPermissionDenied(parts_.attestation->Recognise(unknown).status()));
  VerifiedSvid foreign = node;
  foreign.id = *SpiffeId::Parse("spiffe://other.org/lanyard/agent/n1");
  EXPECT_TRUE(absl::IsPermissionDenied(parts_.attestation->Recognise(foreign).status()));

  ASSERT_TRUE(parts_.registry->DeleteNode(node.id).ok());
  EXPECT_TRUE(absl::IsPermissionDenied(parts_.attestation->Recognise(node).status()));
}

TEST_F(NodeAttestationTest, AttestingADeletedNodeAgainDoesNotReviveItsOldSvid) {
  const VerifiedSvid stolen = parts_.AttestedNode("n1");
  parts_.clock.Advance(absl::Minutes(10));
  ASSERT_TRUE(parts_.registry->DeleteNode(stolen.id).ok());
  const VerifiedSvid node = parts_.AttestedNode("n1");
  const absl::Status refused = parts_.attestation->Recognise(stolen).status();
  EXPECT_TRUE(absl::IsPermissionDenied(refused)) << refused;
  EXPECT_NE(refused.message().find("older than the node's last attestation"), absl::string_view::npos) << refused;
  EXPECT_EQ(*parts_.attestation->Recognise(node), node.id);
}

TEST_F(NodeAttestationTest, ARenewalWhoseAnswerIsLostLeavesTheSvidBefore) {
  const VerifiedSvid node = parts_.AttestedNode("n1");
  parts_.clock.Advance(absl::Minutes(30));
  ASSERT_TRUE(parts_.attestation->Renew(node.id, NewCsr()).ok());
  EXPECT_TRUE(parts_.attestation->Recognise(node).ok());
}

TEST_F(NodeAttestationTest, ANodeAttestedWhileTheClockWasAheadIsRenewedWhenItIsRight) {
  const absl::Time now = parts_.clock.Now();
  parts_.clock.JumpTo(now + absl::Minutes(40));
  const VerifiedSvid ahead = parts_.AttestedNode("n1");
  parts_.clock.JumpTo(now);
  const auto renewed = parts_.attestation->Renew(*parts_.attestation->Recognise(ahead), NewCsr());
  ASSERT_TRUE(renewed.ok()) << renewed.status();
  EXPECT_TRUE(parts_.attestation->Recognise(*parts_.Verify(*renewed)).ok());
}

TEST_F(NodeAttestationTest, AFailingStoreIsNotARefusal) {
  const VerifiedSvid node = parts_.AttestedNode("n1");
  parts_.store.FailWith(absl::UnavailableError("I/O error"));
  EXPECT_TRUE(absl::IsUnavailable(parts_.attestation->Recognise(node).status()));
}

TEST_F(NodeAttestationTest, AFullDiskDoesNotEndANode) {
  const VerifiedSvid node = parts_.AttestedNode("n1");
  parts_.store.FailWith(absl::ResourceExhaustedError("the disk is full"));
  EXPECT_TRUE(parts_.attestation->Renew(node.id, NewCsr()).ok());
}

TEST_F(NodeAttestationTest, RenewsForAsLongAsTheNodeIsKnown) {
  const VerifiedSvid node = parts_.AttestedNode("n1");
  parts_.clock.Advance(absl::Minutes(30));
  const auto renewed = parts_.attestation->Renew(node.id, NewCsr());
  ASSERT_TRUE(renewed.ok()) << renewed.status();
  EXPECT_EQ(parts_.registry->GetNode(node.id)->svid_serial, renewed->front().serial());
  EXPECT_GT(parts_.registry->GetNode(node.id)->svid_expires_at, node.leaf_not_after);
  ASSERT_TRUE(parts_.registry->DeleteNode(node.id).ok());
  EXPECT_TRUE(absl::IsPermissionDenied(parts_.attestation->Renew(node.id, NewCsr()).status()));
}

TEST(BannedNodeTest, ABannedAgentIsNotRecognisedNorAttestedAgain) {
  AuthorityParts parts;
  const VerifiedSvid node = parts.AttestedNode("n1");
  const BanSubject subject = *BanSubject::Parse("agent:" + node.id.ToString());
  ASSERT_TRUE(parts.mesh->AddBan(subject, "", absl::ZeroDuration()).ok());
  EXPECT_TRUE(absl::IsPermissionDenied(parts.attestation->Recognise(node).status()));
  const auto token = parts.registry->CreateJoinToken("n1", absl::ZeroDuration());
  EXPECT_TRUE(absl::IsPermissionDenied(parts.attestation->Attest(token->text, NewCsr()).status()));
  ASSERT_TRUE(parts.mesh->RemoveBan(subject).ok());
  EXPECT_TRUE(parts.attestation->Recognise(node).ok());
  EXPECT_TRUE(parts.attestation->Attest(token->text, NewCsr()).ok()) << "the token was not spent";
}

TEST(BannedNodeTest, ABannedSerialIsOneSvidOfTheAgent) {
  AuthorityParts parts;
  const VerifiedSvid old = parts.AttestedNode("n1");
  const VerifiedSvid current = parts.AttestedNode("n1");
  ASSERT_TRUE(parts.mesh->AddBan(*BanSubject::Parse("serial:" + old.serial), "", absl::ZeroDuration()).ok());
  EXPECT_TRUE(absl::IsPermissionDenied(parts.attestation->Recognise(old).status()));
  EXPECT_TRUE(parts.attestation->Recognise(current).ok());
}

}  // namespace
}  // namespace lanyard
