#include "identity/config/config_scalar.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/duration.pb.h>
#include <google/protobuf/message.h>
#include <google/protobuf/timestamp.pb.h>

#include <cmath>
#include <limits>
#include <type_traits>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"

namespace lanyard {
namespace {

using google::protobuf::EnumValueDescriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

// Reflection has one setter a type, in two spellings; each lambda below picks its own.
template <typename Value, typename Set, typename Add>
void Store(const FieldDescriptor& field, Message& message, Value value, Set set, Add add) {
  const Reflection* reflection = message.GetReflection();
  if (field.is_repeated()) {
    (reflection->*add)(&message, &field, value);
  } else {
    (reflection->*set)(&message, &field, value);
  }
}

template <typename Number, typename Set, typename Add>
std::string SetInteger(const ConfigNode& node, const FieldDescriptor& field, Message& message, Set set, Add add) {
  Number number = 0;
  if (node.quoted || !absl::SimpleAtoi(node.text, &number)) {
    return absl::StrCat(Describe(node), " must be a whole number", node.quoted ? " without quotes" : "", " from ",
                        std::numeric_limits<Number>::min(), " to ", std::numeric_limits<Number>::max());
  }
  Store(field, message, number, set, add);
  return "";
}

template <typename Number, typename Set, typename Add>
std::string SetReal(const ConfigNode& node, const FieldDescriptor& field, Message& message, Set set, Add add) {
  double number = 0;
  if (node.quoted || !absl::SimpleAtod(node.text, &number) || !std::isfinite(static_cast<Number>(number))) {
    return absl::StrCat(Describe(node), " must be a number", node.quoted ? " without quotes" : "");
  }
  Store(field, message, static_cast<Number>(number), set, add);
  return "";
}

std::string SetBool(const ConfigNode& node, const FieldDescriptor& field, Message& message) {
  if (node.quoted || (node.text != "true" && node.text != "false")) {
    return absl::StrCat(Describe(node), " must be true or false", node.quoted ? ", without quotes" : "");
  }
  Store(field, message, node.text == "true", &Reflection::SetBool, &Reflection::AddBool);
  return "";
}

std::string SetEnum(const ConfigNode& node, const FieldDescriptor& field, Message& message) {
  std::vector<std::string> names;
  // Value 0 means "not written" (proto3) and is nobody's choice.
  for (int i = 0; i < field.enum_type()->value_count(); ++i) {
    const EnumValueDescriptor* value = field.enum_type()->value(i);
    if (value->number() == 0) continue;
    if (absl::EqualsIgnoreCase(value->name(), node.text)) {
      Store(field, message, value, &Reflection::SetEnum, &Reflection::AddEnum);
      return "";
    }
    names.push_back(absl::AsciiStrToLower(value->name()));
  }
  return absl::StrCat(Describe(node), " must be one of ", absl::StrJoin(names, ", "));
}

std::string SetString(const ConfigNode& node, const FieldDescriptor& field, Message& message) {
  // A NUL would cut a path short; protobuf's strings are UTF-8 without exception.
  if (absl::StrContains(node.text, '\0')) return absl::StrCat(Describe(node), " must not hold a NUL character");
  if (!google::protobuf::internal::IsStructurallyValidUTF8(node.text)) {
    return absl::StrCat(Describe(node), " is not UTF-8");
  }
  Store(field, message, node.text, &Reflection::SetString, &Reflection::AddString);
  return "";
}

}  // namespace

std::string SetScalar(const ConfigNode& node, const FieldDescriptor& field, Message& message) {
  if (node.kind == ConfigNode::Kind::kNull) return "it is empty: write a value, or remove the key";
  if (node.kind != ConfigNode::Kind::kScalar) return absl::StrCat("it is ", Describe(node), ", must be a single value");
  if (field.type() == FieldDescriptor::TYPE_BYTES) return "a configuration field cannot be of type bytes";
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      return SetInteger<int32_t>(node, field, message, &Reflection::SetInt32, &Reflection::AddInt32);
    case FieldDescriptor::CPPTYPE_INT64:
      return SetInteger<int64_t>(node, field, message, &Reflection::SetInt64, &Reflection::AddInt64);
    case FieldDescriptor::CPPTYPE_UINT32:
      return SetInteger<uint32_t>(node, field, message, &Reflection::SetUInt32, &Reflection::AddUInt32);
    case FieldDescriptor::CPPTYPE_UINT64:
      return SetInteger<uint64_t>(node, field, message, &Reflection::SetUInt64, &Reflection::AddUInt64);
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return SetReal<double>(node, field, message, &Reflection::SetDouble, &Reflection::AddDouble);
    case FieldDescriptor::CPPTYPE_FLOAT:
      return SetReal<float>(node, field, message, &Reflection::SetFloat, &Reflection::AddFloat);
    case FieldDescriptor::CPPTYPE_BOOL: return SetBool(node, field, message);
    case FieldDescriptor::CPPTYPE_ENUM: return SetEnum(node, field, message);
    case FieldDescriptor::CPPTYPE_STRING: return SetString(node, field, message);
    case FieldDescriptor::CPPTYPE_MESSAGE: break;
  }
  return "a message cannot be written as a single value";
}

std::string SetDuration(const ConfigNode& node, Message& duration) {
  absl::Duration value;
  if (node.kind != ConfigNode::Kind::kScalar || !absl::ParseDuration(node.text, &value) ||
      value == absl::InfiniteDuration() || value < absl::ZeroDuration()) {
    return absl::StrCat(node.kind == ConfigNode::Kind::kScalar ? "" : "it is ", Describe(node),
                        " must be a length of time such as 90s, 1h30m or 500ms");
  }
  google::protobuf::Duration parsed;
  parsed.set_seconds(absl::IDivDuration(value, absl::Seconds(1), &value));
  parsed.set_nanos(static_cast<int32_t>(absl::ToInt64Nanoseconds(value)));
  duration.CopyFrom(parsed);
  return "";
}

std::string SetTimestamp(const ConfigNode& node, Message& timestamp) {
  absl::Time value;
  std::string ignored;
  if (node.kind != ConfigNode::Kind::kScalar || !absl::ParseTime(absl::RFC3339_full, node.text, &value, &ignored) ||
      value == absl::InfiniteFuture() || value == absl::InfinitePast()) {
    return absl::StrCat(node.kind == ConfigNode::Kind::kScalar ? "" : "it is ", Describe(node),
                        " must be a time such as 2026-01-31T12:00:00Z");
  }
  google::protobuf::Timestamp parsed;
  parsed.set_seconds(absl::ToUnixSeconds(value));
  parsed.set_nanos(static_cast<int32_t>(absl::ToInt64Nanoseconds(value - absl::FromUnixSeconds(parsed.seconds()))));
  timestamp.CopyFrom(parsed);
  return "";
}

}  // namespace lanyard
