#include "identity/policy/observed_proto.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace lanyard {
namespace {

using testing::HasSubstr;

mesh::v1::ObservedCall Call(const std::string& local, uint32_t port = 80) {
  mesh::v1::ObservedCall call;
  call.set_inbound(true);
  call.set_local_id(local);
  call.set_peer_id("spiffe://td/shop");
  call.set_port(port);
  call.set_allowed(true);
  call.set_rule("web/shop");
  call.set_count(3);
  call.set_last_seen_unix(1'800'000'000);
  return call;
}

bool IsWeb(const SpiffeId& id) { return id.ToString() == "spiffe://td/web"; }

TEST(ObservedProto, ATupleIsTheSameThereAndBack) {
  mesh::v1::ObservedCall call = Call("spiffe://td/web");
  call.set_inbound(false);
  call.set_destination("[fd00::7]:80");
  const auto tuple = ObservedTupleFromProto(call);
  ASSERT_TRUE(tuple.ok()) << tuple.status();
  EXPECT_TRUE(tuple->captured);
  EXPECT_EQ(tuple->count, 3u);
  EXPECT_EQ(tuple->last_seen, absl::FromUnixSeconds(1'800'000'000));
  EXPECT_EQ(ToProto(*tuple).SerializeAsString(), call.SerializeAsString());
}

TEST(ObservedProto, WhatCannotBeIsRefusedByItsField) {
  EXPECT_THAT(ObservedTupleFromProto(Call("")).status().message(), HasSubstr("local_id"));
  EXPECT_THAT(ObservedTupleFromProto(Call("spiffe://td/web", 65536)).status().message(), HasSubstr("port"));
  mesh::v1::ObservedCall call = Call("spiffe://td/web");
  call.set_peer_id("shop");
  EXPECT_THAT(ObservedTupleFromProto(call).status().message(), HasSubstr("peer_id"));
  call.set_peer_id("");
  EXPECT_TRUE(ObservedTupleFromProto(call).ok()) << "plaintext";
  call.set_rule("a\x1b[2J");
  EXPECT_THAT(ObservedTupleFromProto(call).status().message(), HasSubstr("rule"));
  call.set_rule(std::string(kMaxObservedTextBytes + 1, 'r'));
  EXPECT_FALSE(ObservedTupleFromProto(call).ok());
}

TEST(KeepOwnCalls, OthersCallsAndUnreadableOnesAreLeftOutAndCounted) {
  mesh::v1::Observed observed;
  observed.set_left_out(5);
  *observed.add_calls() = Call("spiffe://td/web", 1);
  *observed.add_calls() = Call("spiffe://td/bank", 2);
  *observed.add_calls() = Call("no ID", 3);
  *observed.add_calls() = Call("spiffe://td/web", 4);
  KeepOwnCalls(IsWeb, observed);
  ASSERT_EQ(observed.calls_size(), 2);
  EXPECT_EQ(observed.calls(0).port(), 1u);
  EXPECT_EQ(observed.calls(1).port(), 4u);
  EXPECT_EQ(observed.left_out(), 7u);
}

TEST(KeepOwnCalls, NoMoreThanTheLimitsInNumberAndBytes) {
  mesh::v1::Observed many;
  for (int i = 0; i < kMaxObservedCalls + 3; ++i) *many.add_calls() = Call("spiffe://td/web", i);
  KeepOwnCalls(IsWeb, many);
  EXPECT_EQ(many.calls_size(), kMaxObservedCalls);
  EXPECT_EQ(many.left_out(), 3u);
  mesh::v1::Observed large;
  for (int i = 0; i < kMaxObservedCalls; ++i) {
    *large.add_calls() = Call("spiffe://td/web", i);
    large.mutable_calls(i)->set_rule(std::string(kMaxObservedTextBytes, 'r'));
  }
  KeepOwnCalls(IsWeb, large);
  EXPECT_LE(large.ByteSizeLong(), kMaxObservedBytes + 16) << "beside the calls there are two numbers";
  EXPECT_GT(large.calls_size(), 100);
  EXPECT_EQ(large.calls_size() + large.left_out(), static_cast<uint64_t>(kMaxObservedCalls));
}

}  // namespace
}  // namespace lanyard
