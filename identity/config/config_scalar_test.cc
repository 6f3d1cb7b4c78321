#include "identity/config/config_scalar.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor.pb.h>
#include <google/protobuf/duration.pb.h>
#include <google/protobuf/timestamp.pb.h>
#include <google/protobuf/wrappers.pb.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace lanyard {
namespace {

ConfigNode Scalar(absl::string_view text, bool quoted = false) {
  ConfigNode node;
  node.kind = ConfigNode::Kind::kScalar;
  node.text = std::string(text);
  node.quoted = quoted;
  return node;
}

// Sets the one field of a wrapper message; the value read back, or the mistake.
template <typename Wrapper>
std::string Set(const ConfigNode& node) {
  Wrapper message;
  const std::string mistake = SetScalar(node, *message.GetDescriptor()->FindFieldByName("value"), message);
  return mistake.empty() ? absl::StrCat(message.value()) : mistake;
}

TEST(SetScalar, IntegersStayInTheirRange) {
  using google::protobuf::Int32Value;
  using google::protobuf::Int64Value;
  using google::protobuf::UInt32Value;
  using google::protobuf::UInt64Value;
  EXPECT_EQ(Set<UInt32Value>(Scalar("4294967295")), "4294967295");
  EXPECT_EQ(Set<UInt32Value>(Scalar("4294967296")), "\"4294967296\" must be a whole number from 0 to 4294967295");
  EXPECT_EQ(Set<Int32Value>(Scalar("-2147483648")), "-2147483648");
  EXPECT_EQ(Set<Int64Value>(Scalar("-9223372036854775808")), "-9223372036854775808");
  EXPECT_EQ(Set<UInt64Value>(Scalar("18446744073709551615")), "18446744073709551615");
  for (const char* text : {"-1", "1.0", "1e3", "0x10", "one", "", "1 2"}) {
    EXPECT_NE(Set<UInt32Value>(Scalar(text)).find("must be a whole number"), std::string::npos) << text;
  }
  EXPECT_NE(Set<UInt32Value>(Scalar("1", true)).find("without quotes"), std::string::npos);
}

TEST(SetScalar, BooleansAreTrueOrFalse) {
  EXPECT_EQ(Set<google::protobuf::BoolValue>(Scalar("true")), "1");
  EXPECT_EQ(Set<google::protobuf::BoolValue>(Scalar("false")), "0");
  for (const char* text : {"yes", "no", "on", "True", "1", ""}) {
    EXPECT_NE(Set<google::protobuf::BoolValue>(Scalar(text)).find("must be true or false"), std::string::npos) << text;
  }
  EXPECT_NE(Set<google::protobuf::BoolValue>(Scalar("true", true)).find("without quotes"), std::string::npos);
}

TEST(SetScalar, RealNumbersAreFinite) {
  EXPECT_EQ(Set<google::protobuf::DoubleValue>(Scalar("0.5")), "0.5");
  EXPECT_EQ(Set<google::protobuf::FloatValue>(Scalar("-2")), "-2");
  for (const char* text : {"nan", "inf", "1e999", "half"}) {
    EXPECT_NE(Set<google::protobuf::DoubleValue>(Scalar(text)).find("must be a number"), std::string::npos) << text;
  }
  EXPECT_NE(Set<google::protobuf::FloatValue>(Scalar("1e300")).find("must be a number"), std::string::npos);
}

TEST(SetScalar, TextIsTakenAsWritten) {
  EXPECT_EQ(Set<google::protobuf::StringValue>(Scalar("8080")), "8080");
  EXPECT_EQ(Set<google::protobuf::StringValue>(Scalar("true", true)), "true");
  EXPECT_NE(Set<google::protobuf::StringValue>(Scalar(std::string("a\0b", 3), true)).find("NUL"), std::string::npos);
  EXPECT_NE(Set<google::protobuf::StringValue>(Scalar("a\xff", true)).find("UTF-8"), std::string::npos);
}

TEST(SetScalar, EnumsAreNamedInAnyCase) {
  google::protobuf::FieldDescriptorProto message;
  const auto& field = *message.GetDescriptor()->FindFieldByName("label");
  EXPECT_EQ(SetScalar(Scalar("Label_Repeated"), field, message), "");
  EXPECT_EQ(message.label(), google::protobuf::FieldDescriptorProto::LABEL_REPEATED);
  EXPECT_EQ(SetScalar(Scalar("3"), field, message),
            "\"3\" must be one of label_optional, label_required, label_repeated");
}

TEST(SetScalar, OtherShapesAreNamed) {
  ConfigNode node;
  EXPECT_EQ(Set<google::protobuf::BoolValue>(node), "it is empty: write a value, or remove the key");
  node.kind = ConfigNode::Kind::kList;
  EXPECT_EQ(Set<google::protobuf::BoolValue>(node), "it is a list, must be a single value");
  EXPECT_NE(Set<google::protobuf::BytesValue>(Scalar("x")).find("cannot be"), std::string::npos);
}

TEST(SetDuration, ReadsLengthsOfTime) {
  const auto seconds = [](absl::string_view text) {
    google::protobuf::Duration duration;
    const std::string mistake = SetDuration(Scalar(text), duration);
    return mistake.empty() ? duration.seconds() + duration.nanos() * 1e-9 : -1.0;
  };
  EXPECT_DOUBLE_EQ(seconds("90s"), 90);
  EXPECT_DOUBLE_EQ(seconds("1h30m"), 5400);
  EXPECT_DOUBLE_EQ(seconds("500ms"), 0.5);
  EXPECT_DOUBLE_EQ(seconds("1.5s"), 1.5);
  EXPECT_DOUBLE_EQ(seconds("0"), 0);
  EXPECT_DOUBLE_EQ(seconds("87600h"), 315360000);
  for (const char* text : {"30", "-1s", "inf", "", "s", "1d", "1 h", "99999999999999999999h"}) {
    EXPECT_EQ(seconds(text), -1.0) << text;
  }
}

TEST(SetTimestamp, ReadsTimes) {
  const auto seconds = [](absl::string_view text) -> int64_t {
    google::protobuf::Timestamp timestamp;
    return SetTimestamp(Scalar(text), timestamp).empty() ? timestamp.seconds() : -1;
  };
  EXPECT_EQ(seconds("2026-01-31T12:00:00Z"), 1769860800);
  EXPECT_EQ(seconds("2026-01-31T13:00:00.5+01:00"), 1769860800);
  for (const char* text : {"", "tomorrow", "2026-01-31", "2026-02-31T12:00:00Z", "infinite-future", "1769860800"}) {
    EXPECT_EQ(seconds(text), -1) << text;
  }
}

}  // namespace
}  // namespace lanyard
