#include "identity/registry/mesh_rules_proto.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "google/protobuf/util/json_util.h"
#include "google/protobuf/util/time_util.h"
#include "identity/policy/rules_proto.h"

namespace lanyard {
namespace {

namespace v1 = registry::v1;
using google::protobuf::util::TimeUtil;

void CheckSize(absl::string_view path, const google::protobuf::Message& message, ConfigProblems& problems) {
  if (message.ByteSizeLong() <= kMaxRecordSizeBytes) return;
  problems.Add(path, absl::StrCat("it takes ", message.ByteSizeLong(), " bytes; a record has at most ",
                                  kMaxRecordSizeBytes, ": split it into several of its kind"));
}

template <typename Record, typename Message>
Message HeadToProto(const std::string& name, const std::vector<PeerPattern>& workloads, const Record& record) {
  Message message;
  message.set_name(name);
  for (const PeerPattern& workload : workloads) message.add_workloads(workload.ToString());
  message.set_version(record.version);
  *message.mutable_updated_at() = TimeUtil::MicrosecondsToTimestamp(absl::ToUnixMicros(record.updated_at));
  return message;
}

template <typename Record>
std::string AsText(const Record& record) {
  std::string text;
  // Fails only for messages that are not well formed, which ToProto does not make.
  (void)google::protobuf::util::MessageToJsonString(ToProto(record), &text);
  return text;
}

template <typename Message>
absl::StatusOr<Message> MessageOf(const std::string& text) {
  Message message;
  const auto parsed = google::protobuf::util::JsonStringToMessage(text, &message);
  if (!parsed.ok()) return absl::InvalidArgumentError(parsed.ToString());
  return message;
}

absl::Time UpdatedAt(const google::protobuf::Timestamp& time) {
  return absl::FromUnixMicros(TimeUtil::TimestampToMicroseconds(time));
}

}  // namespace

WorkloadPolicy PolicyFromProto(absl::string_view path, const v1::Policy& from, std::set<std::string>& seen,
                               ConfigProblems& problems) {
  CheckSize(path, from, problems);
  return WorkloadPolicyFromProto(path, {from.name(), from.workloads()}, from.rules(), seen, problems);
}

WorkloadRoutes RoutesFromProto(absl::string_view path, const v1::RouteSet& from, std::set<std::string>& seen,
                               ConfigProblems& problems) {
  CheckSize(path, from, problems);
  WorkloadRoutes set = WorkloadRoutesFromProto(path, {from.name(), from.workloads()}, from.routes(), seen, problems);
  set.order = from.order();
  return set;
}

v1::Policy ToProto(const PolicyRecord& record) {
  auto message = HeadToProto<PolicyRecord, v1::Policy>(record.policy.name, record.policy.workloads, record);
  for (const PolicyRule& rule : record.policy.rules) *message.add_rules() = ToProto(rule);
  return message;
}

v1::RouteSet ToProto(const RoutesRecord& record) {
  auto message = HeadToProto<RoutesRecord, v1::RouteSet>(record.routes.name, record.routes.workloads, record);
  for (const Route& route : record.routes.routes) *message.add_routes() = ToProto(route);
  message.set_order(record.routes.order);
  return message;
}

std::string ToText(const PolicyRecord& record) { return AsText(record); }
std::string ToText(const RoutesRecord& record) { return AsText(record); }

absl::StatusOr<PolicyRecord> PolicyFromText(const std::string& text) {
  const absl::StatusOr<v1::Policy> message = MessageOf<v1::Policy>(text);
  if (!message.ok()) return message.status();
  ConfigProblems problems;
  std::set<std::string> seen;
  PolicyRecord record{PolicyFromProto("policy", *message, seen, problems), message->version(),
                      UpdatedAt(message->updated_at())};
  if (!problems.empty()) return problems.ToStatus(message->name());
  return record;
}

absl::StatusOr<RoutesRecord> RoutesFromText(const std::string& text) {
  const absl::StatusOr<v1::RouteSet> message = MessageOf<v1::RouteSet>(text);
  if (!message.ok()) return message.status();
  ConfigProblems problems;
  std::set<std::string> seen;
  RoutesRecord record{RoutesFromProto("routes", *message, seen, problems), message->version(),
                      UpdatedAt(message->updated_at())};
  if (!problems.empty()) return problems.ToStatus(message->name());
  return record;
}

}  // namespace lanyard
