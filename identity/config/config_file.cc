#include "identity/config/config_file.h"

#include <google/protobuf/descriptor.h>

#include <set>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "identity/base/atomic_file.h"
#include "identity/config/config_scalar.h"
#include "identity/config/config_tree.h"
#include "identity/config/nearest_name.h"
#include "identity/spiffe/quoted.h"

namespace lanyard {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

using Kind = ConfigNode::Kind;

std::string Child(absl::string_view path, absl::string_view name) {
  return path.empty() ? std::string(name) : absl::StrCat(path, ".", name);
}

// Walks the tree along the message's description. One a file; the problems are the result.
class Walker {
 public:
  explicit Walker(ConfigProblems& problems) : problems_(problems) {}

  void FillMessage(const ConfigNode& node, const std::string& path, Message& message) {
    if (node.kind == Kind::kNull) return;
    if (message.GetDescriptor()->full_name() == "google.protobuf.Duration") {
      return Report(path, node, SetDuration(node, message));
    }
    if (message.GetDescriptor()->full_name() == "google.protobuf.Timestamp") {
      return Report(path, node, SetTimestamp(node, message));
    }
    if (node.kind != Kind::kMap) {
      return Report(path, node, absl::StrCat("it is ", Describe(node), ", must be a map of fields"));
    }
    std::set<absl::string_view> seen;
    for (const auto& [name, value] : node.entries) {
      const std::string at = Child(path, name);
      const FieldDescriptor* field = message.GetDescriptor()->FindFieldByName(name);
      if (field == nullptr) {
        Report(at, value, UnknownField(name, *message.GetDescriptor()));
      } else if (!seen.insert(name).second) {
        Report(at, value, "it is written twice: keep one");
      } else if (const std::string other = OtherOfOneof(*field, message); !other.empty()) {
        Report(at, value, absl::StrCat("it excludes ", other, ", which is written too: keep one"));
      } else {
        FillField(value, at, *field, message);
      }
    }
  }

 private:
  void Report(absl::string_view path, const ConfigNode& node, absl::string_view what) {
    if (!what.empty()) problems_.Add(path, absl::StrCat(what, " (line ", node.line, ")"));
  }

  static std::string UnknownField(absl::string_view name, const Descriptor& descriptor) {
    std::vector<std::string> known;
    for (int i = 0; i < descriptor.field_count(); ++i) known.push_back(descriptor.field(i)->name());
    const std::string nearest = NearestName(name, known);
    if (!nearest.empty()) return absl::StrCat("there is no such field: did you mean ", nearest, "?");
    return absl::StrCat("there is no such field: known here are ", absl::StrJoin(known, ", "));
  }

  static std::string OtherOfOneof(const FieldDescriptor& field, const Message& message) {
    if (field.real_containing_oneof() == nullptr) return "";
    const FieldDescriptor* other =
        message.GetReflection()->GetOneofFieldDescriptor(message, field.real_containing_oneof());
    return other == nullptr ? "" : other->name();
  }

  void FillField(const ConfigNode& node, const std::string& path, const FieldDescriptor& field, Message& message) {
    if (field.is_map()) return FillMap(node, path, field, message);
    if (field.is_repeated()) return FillList(node, path, field, message);
    if (field.cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE) {
      return Report(path, node, SetScalar(node, field, message));
    }
    // A message left empty is not set, so that it does not choose a oneof's side.
    if (node.kind != Kind::kNull) FillMessage(node, path, *message.GetReflection()->MutableMessage(&message, &field));
  }

  void FillList(const ConfigNode& node, const std::string& path, const FieldDescriptor& field, Message& message) {
    if (node.kind == Kind::kNull) return;
    if (node.kind != Kind::kList) {
      return Report(path, node, absl::StrCat("it is ", Describe(node), ", must be a list: [...] or lines with -"));
    }
    for (size_t i = 0; i < node.items.size(); ++i) {
      const std::string at = absl::StrCat(path, "[", i, "]");
      if (field.cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE) {
        Report(at, node.items[i], SetScalar(node.items[i], field, message));
      } else if (node.items[i].kind == Kind::kNull) {
        Report(at, node.items[i], "it is empty: write its fields, or remove the line");
      } else {
        FillMessage(node.items[i], at, *message.GetReflection()->AddMessage(&message, &field));
      }
    }
  }

  // A protobuf map is, to reflection, a list of entries with the fields 1 (key) and 2 (value).
  void FillMap(const ConfigNode& node, const std::string& path, const FieldDescriptor& field, Message& message) {
    if (node.kind == Kind::kNull) return;
    if (node.kind != Kind::kMap) {
      return Report(path, node, absl::StrCat("it is ", Describe(node), ", must be a map: write name: value"));
    }
    const FieldDescriptor& key_field = *field.message_type()->FindFieldByNumber(1);
    const FieldDescriptor& value_field = *field.message_type()->FindFieldByNumber(2);
    std::set<absl::string_view> seen;
    for (const auto& [name, value] : node.entries) {
      const std::string at = absl::StrCat(path, "[", Quoted(name), "]");
      if (!seen.insert(name).second) {
        Report(at, value, "it is written twice: keep one");
        continue;
      }
      ConfigNode key;
      key.kind = Kind::kScalar;
      key.text = name;
      Message* entry = message.GetReflection()->AddMessage(&message, &field);
      Report(at, value, SetScalar(key, key_field, *entry));
      FillField(value, at, value_field, *entry);
    }
  }

  ConfigProblems& problems_;
};

}  // namespace

void ParseConfig(absl::string_view text, Message& message, ConfigProblems& problems) {
  Walker(problems).FillMessage(ParseConfigTree(text, kConfigDepthLimit, problems), "", message);
}

absl::Status LoadConfigMessage(const std::string& path, Message& message,
                               const std::function<void(ConfigProblems&)>& check) {
  const absl::StatusOr<std::string> text = ReadFile(path, kConfigSizeLimitBytes);
  if (!text.ok()) return text.status();
  ConfigProblems problems;
  ParseConfig(*text, message, problems);
  check(problems);
  return problems.ToStatus(path);
}

absl::Duration DurationOr(bool present, const google::protobuf::Duration& value, absl::Duration fallback) {
  return present ? absl::Seconds(value.seconds()) + absl::Nanoseconds(value.nanos()) : fallback;
}

}  // namespace lanyard
