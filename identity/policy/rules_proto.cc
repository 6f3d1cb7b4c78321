#include "identity/policy/rules_proto.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "google/protobuf/util/time_util.h"
#include "identity/spiffe/quoted.h"

namespace lanyard {
namespace {

using google::protobuf::RepeatedPtrField;
using google::protobuf::util::TimeUtil;

constexpr size_t kMaxRecordNameSizeBytes = 63;  // a DNS label

bool IsNameCharacter(char c) { return absl::ascii_isalnum(c) || c == '.' || c == '_' || c == '-'; }

bool IsRuleName(absl::string_view name) {
  return !name.empty() && name.size() <= kMaxRuleNameSizeBytes &&
         std::all_of(name.begin(), name.end(), IsNameCharacter);
}

bool IsRecordName(absl::string_view name) {
  const auto fits = [](char c) { return absl::ascii_islower(c) || absl::ascii_isdigit(c) || c == '-'; };
  return !name.empty() && name.size() <= kMaxRecordNameSizeBytes && name.front() != '-' && name.back() != '-' &&
         std::all_of(name.begin(), name.end(), fits);
}

void CheckUnique(absl::string_view path, absl::string_view name, std::set<std::string> &seen,
                 ConfigProblems &problems) {
  if (!seen.insert(std::string(name)).second) {
    problems.Add(path, absl::StrCat("\"", name, "\" is taken already; every name is used once"));
  }
}

void CheckJoinedName(absl::string_view path, absl::string_view name, std::set<std::string> &seen,
                     ConfigProblems &problems) {
  const std::pair<absl::string_view, absl::string_view> parts = absl::StrSplit(name, absl::MaxSplits('/', 1));
  if (!IsRecordName(parts.first) || !IsRuleName(parts.second)) {
    return problems.Add(path, absl::StrCat(Quoted(name), " is not the name of a record and of a rule in it"));
  }
  CheckUnique(path, name, seen, problems);
}

void CheckNameOf(absl::string_view path, absl::string_view name, RuleNames names, std::set<std::string> &seen,
                 ConfigProblems &problems) {
  if (names == RuleNames::kJoined) return CheckJoinedName(path, name, seen, problems);
  CheckRuleName(path, name, seen, problems);
}

// False, with the mistake, where a list is too long to be meant.
bool CheckCount(absl::string_view path, size_t count, size_t limit, absl::string_view what, ConfigProblems &problems) {
  if (count <= limit) return true;
  problems.Add(path, absl::StrCat(count, " ", what, " are too many; write at most ", limit,
                                  " here, and the rest as one more of its kind"));
  return false;
}

std::vector<uint16_t> PortsFromProto(absl::string_view path, const google::protobuf::RepeatedField<uint32_t> &numbers,
                                     ConfigProblems &problems) {
  std::vector<uint16_t> ports;
  if (!CheckCount(path, numbers.size(), kMaxValuesOfARule, "ports", problems)) return ports;
  for (int i = 0; i < numbers.size(); ++i) {
    if (numbers[i] < 1 || numbers[i] > 65535) {
      problems.Add(absl::StrCat(path, "[", i, "]"), absl::StrCat(numbers[i],
                                                                 " is not a port; ports are 1 to 65535, and "
                                                                 "an empty list means all"));
      continue;
    }
    ports.push_back(static_cast<uint16_t>(numbers[i]));
  }
  return ports;
}

std::vector<AddressBlock> DestinationsFromProto(absl::string_view path, const RepeatedPtrField<std::string> &texts,
                                                ConfigProblems &problems) {
  std::vector<AddressBlock> destinations;
  if (!CheckCount(path, texts.size(), kMaxValuesOfARule, "destinations", problems)) return destinations;
  for (int i = 0; i < texts.size(); ++i) {
    absl::StatusOr<AddressBlock> block = AddressBlock::Parse(texts[i]);
    if (!block.ok()) {
      problems.Add(absl::StrCat(path, "[", i, "]"), block.status().message());
      continue;
    }
    destinations.push_back(*std::move(block));
  }
  return destinations;
}

void CheckAction(absl::string_view path, const mesh::v1::Route &route, ConfigProblems &problems) {
  switch (route.action()) {
    case mesh::v1::MUTUAL_TLS:
      if (!route.peers().empty()) return;
      return problems.Add(absl::StrCat(path, ".peers"),
                          "mutual_tls needs at least one peer that may answer: a "
                          "SPIFFE ID, or spiffe://trust.domain/*");
    case mesh::v1::PASS_THROUGH:
    case mesh::v1::REFUSE:
      if (route.peers().empty()) return;
      return problems.Add(absl::StrCat(path, ".peers"),
                          "peers have a meaning with action mutual_tls only: "
                          "change the action or remove them");
    default:
      return problems.Add(absl::StrCat(path, ".action"), "an action is required: mutual_tls, pass_through or refuse");
  }
}

Route RouteFromProto(const std::string &path, const mesh::v1::Route &from, RuleNames names, std::set<std::string> &seen,
                     ConfigProblems &problems) {
  CheckNameOf(absl::StrCat(path, ".name"), from.name(), names, seen, problems);
  CheckAction(path, from, problems);
  return {from.name(), DestinationsFromProto(absl::StrCat(path, ".destinations"), from.destinations(), problems),
          PortsFromProto(absl::StrCat(path, ".ports"), from.ports(), problems),
          RouteActionFromProto(from.action(), RouteAction::kRefuse),
          PeersFromProto(absl::StrCat(path, ".peers"), from.peers(), problems)};
}

void CheckHead(absl::string_view path, const RecordHead &head, std::set<std::string> &seen, ConfigProblems &problems) {
  const std::string name_path = absl::StrCat(path, ".name"), workloads_path = absl::StrCat(path, ".workloads");
  if (IsRecordName(head.name)) {
    CheckUnique(name_path, head.name, seen, problems);
  } else {
    problems.Add(name_path, absl::StrCat(Quoted(head.name), " is not a name: use 1 to ", kMaxRecordNameSizeBytes,
                                         " lower-case letters, digits or '-', with no '-' at either end"));
  }
  if (head.workloads.empty()) {
    problems.Add(workloads_path,
                 "at least one workload is required, whose rules these are: a "
                 "SPIFFE ID, or spiffe://trust.domain/*");
  }
}

// Microseconds are what the registry keeps.
google::protobuf::Timestamp ToProto(absl::Time time) {
  return TimeUtil::MicrosecondsToTimestamp(absl::ToUnixMicros(time));
}

std::optional<absl::Time> TimeFromProto(absl::string_view path, const google::protobuf::Timestamp &time,
                                        ConfigProblems &problems) {
  // The range of the type, beyond which TimeUtil overflows.
  if (time.seconds() >= TimeUtil::kTimestampMinSeconds && time.seconds() <= TimeUtil::kTimestampMaxSeconds &&
      time.nanos() >= 0 && time.nanos() < 1'000'000'000) {
    return absl::FromUnixMicros(TimeUtil::TimestampToMicroseconds(time));
  }
  problems.Add(path, absl::StrCat(time.seconds(), " seconds and ", time.nanos(), " nanoseconds are not a time"));
  return std::nullopt;
}

struct SubjectField {
  BanSubject::Kind kind = BanSubject::Kind::kSpiffeId;
  std::string text;  // as BanSubject::Parse reads it
};

SubjectField SubjectFieldOf(const mesh::v1::Ban &ban) {
  switch (ban.subject_case()) {
    case mesh::v1::Ban::kSpiffeId:
      return {BanSubject::Kind::kSpiffeId, ban.spiffe_id()};
    case mesh::v1::Ban::kSerial:
      return {BanSubject::Kind::kSerial, absl::StrCat("serial:", ban.serial())};
    case mesh::v1::Ban::kAgent:
      return {BanSubject::Kind::kAgent, absl::StrCat("agent:", ban.agent())};
    case mesh::v1::Ban::SUBJECT_NOT_SET:
      break;
  }
  return {};
}

}  // namespace

void CheckRuleName(absl::string_view path, absl::string_view name, std::set<std::string> &seen,
                   ConfigProblems &problems) {
  if (name.empty()) return problems.Add(path, "a name is required; it stands in logs and metrics");
  if (!IsRuleName(name)) {
    return problems.Add(path, absl::StrCat(Quoted(name), " is not a name: use 1 to ", kMaxRuleNameSizeBytes,
                                           " letters, digits, '.', '_' or '-'"));
  }
  CheckUnique(path, name, seen, problems);
}

std::vector<PeerPattern> PeersFromProto(absl::string_view path, const RepeatedPtrField<std::string> &texts,
                                        ConfigProblems &problems) {
  std::vector<PeerPattern> peers;
  if (!CheckCount(path, texts.size(), kMaxValuesOfARule, "SPIFFE IDs", problems)) return peers;
  for (int i = 0; i < texts.size(); ++i) {
    absl::StatusOr<PeerPattern> peer = PeerPattern::Parse(texts[i]);
    if (!peer.ok()) {
      problems.Add(absl::StrCat(path, "[", i, "]"), peer.status().message());
      continue;
    }
    peers.push_back(*std::move(peer));
  }
  return peers;
}

void CheckAllowsSomebody(absl::string_view path, bool nobody, ConfigProblems &problems) {
  if (!nobody) return;
  problems.Add(path,
               "nobody could call: name at least one SPIFFE ID (or "
               "spiffe://trust.domain/*), or set allow_plaintext");
}

RouteAction RouteActionFromProto(mesh::v1::RouteAction action, RouteAction fallback) {
  switch (action) {
    case mesh::v1::PASS_THROUGH:
      return RouteAction::kPassThrough;
    case mesh::v1::MUTUAL_TLS:
      return RouteAction::kMutualTls;
    case mesh::v1::REFUSE:
      return RouteAction::kRefuse;
    default:
      return fallback;
  }
}

std::vector<PolicyRule> RulesFromProto(absl::string_view path, const RepeatedPtrField<mesh::v1::InboundRule> &rules,
                                       RuleNames names, ConfigProblems &problems) {
  std::vector<PolicyRule> result;
  // Joined rules are those of several records, each of which kept the limit.
  if (names == RuleNames::kWritten && !CheckCount(path, rules.size(), kMaxRulesOfARecord, "rules", problems)) {
    return result;
  }
  std::set<std::string> seen;
  for (int i = 0; i < rules.size(); ++i) {
    const mesh::v1::InboundRule &from = rules[i];
    const std::string at = absl::StrCat(path, "[", i, "]");
    CheckNameOf(absl::StrCat(at, ".name"), from.name(), names, seen, problems);
    CheckAllowsSomebody(absl::StrCat(at, ".peers"), from.peers().empty() && !from.allow_plaintext(), problems);
    result.push_back({from.name(), PortsFromProto(absl::StrCat(at, ".ports"), from.ports(), problems),
                      PeersFromProto(absl::StrCat(at, ".peers"), from.peers(), problems), from.allow_plaintext()});
  }
  return result;
}

InboundPolicy InboundPolicyFromProto(absl::string_view path, const RepeatedPtrField<mesh::v1::InboundRule> &rules,
                                     RuleNames names, ConfigProblems &problems) {
  absl::StatusOr<InboundPolicy> policy = InboundPolicy::Create(RulesFromProto(path, rules, names, problems));
  if (policy.ok()) return *std::move(policy);
  if (problems.empty()) problems.Add(path, policy.status().message());
  return InboundPolicy();
}

std::vector<Route> RoutesFromProto(absl::string_view path, const RepeatedPtrField<mesh::v1::Route> &routes,
                                   RuleNames names, std::set<std::string> taken, ConfigProblems &problems) {
  std::vector<Route> result;
  if (names == RuleNames::kWritten && !CheckCount(path, routes.size(), kMaxRulesOfARecord, "routes", problems)) {
    return result;
  }
  for (int i = 0; i < routes.size(); ++i) {
    result.push_back(RouteFromProto(absl::StrCat(path, "[", i, "]"), routes[i], names, taken, problems));
  }
  return result;
}

std::optional<BanSubject> BanSubjectFromProto(absl::string_view path, const mesh::v1::Ban &ban,
                                              ConfigProblems &problems) {
  const std::string at = absl::StrCat(path, ".subject");
  const SubjectField field = SubjectFieldOf(ban);
  absl::StatusOr<BanSubject> subject = BanSubject::Parse(field.text);
  if (!subject.ok()) {
    problems.Add(at, subject.status().message());
    return std::nullopt;
  }
  if (subject->kind() != field.kind) {
    problems.Add(at,
                 absl::StrCat(Quoted(field.text), " stands in the wrong field: spiffe_id, serial and agent are three"));
    return std::nullopt;
  }
  return *std::move(subject);
}

void CheckBanReason(absl::string_view path, absl::string_view reason, ConfigProblems &problems) {
  if (reason.size() > Ban::kMaxReasonSizeBytes) {
    return problems.Add(
        path, absl::StrCat("the reason has ", reason.size(), " bytes; write at most ", Ban::kMaxReasonSizeBytes));
  }
  if (std::any_of(reason.begin(), reason.end(), [](char c) { return absl::ascii_iscntrl(c); })) {
    problems.Add(path, absl::StrCat(Quoted(reason), " has control characters; write one line of text"));
  }
}

std::vector<Ban> BansFromProto(absl::string_view path, const RepeatedPtrField<mesh::v1::Ban> &bans,
                               ConfigProblems &problems) {
  std::vector<Ban> result;
  for (int i = 0; i < bans.size(); ++i) {
    const std::string at = absl::StrCat(path, "[", i, "]");
    CheckBanReason(absl::StrCat(at, ".reason"), bans[i].reason(), problems);
    const std::optional<absl::Time> created =
        TimeFromProto(absl::StrCat(at, ".created_at"), bans[i].created_at(), problems);
    const std::optional<absl::Time> expires =
        bans[i].has_expires_at() ? TimeFromProto(absl::StrCat(at, ".expires_at"), bans[i].expires_at(), problems)
                                 : absl::InfiniteFuture();
    std::optional<BanSubject> subject = BanSubjectFromProto(at, bans[i], problems);
    if (subject && created && expires) result.push_back({*std::move(subject), bans[i].reason(), *created, *expires});
  }
  return result;
}

WorkloadPolicy WorkloadPolicyFromProto(absl::string_view path, const RecordHead &head,
                                       const RepeatedPtrField<mesh::v1::InboundRule> &rules,
                                       std::set<std::string> &seen, ConfigProblems &problems) {
  CheckHead(path, head, seen, problems);
  return {head.name, PeersFromProto(absl::StrCat(path, ".workloads"), head.workloads, problems),
          RulesFromProto(absl::StrCat(path, ".rules"), rules, RuleNames::kWritten, problems)};
}

WorkloadRoutes WorkloadRoutesFromProto(absl::string_view path, const RecordHead &head,
                                       const RepeatedPtrField<mesh::v1::Route> &routes, std::set<std::string> &seen,
                                       ConfigProblems &problems) {
  CheckHead(path, head, seen, problems);
  return {head.name, PeersFromProto(absl::StrCat(path, ".workloads"), head.workloads, problems),
          RoutesFromProto(absl::StrCat(path, ".routes"), routes, RuleNames::kWritten, {}, problems)};
}

mesh::v1::InboundRule ToProto(const PolicyRule &rule) {
  mesh::v1::InboundRule message;
  message.set_name(rule.name);
  message.mutable_ports()->Add(rule.ports.begin(), rule.ports.end());
  for (const PeerPattern &peer : rule.peers) message.add_peers(peer.ToString());
  message.set_allow_plaintext(rule.allow_plaintext);
  return message;
}

mesh::v1::Route ToProto(const Route &route) {
  mesh::v1::Route message;
  message.set_name(route.name);
  for (const AddressBlock &block : route.destinations) message.add_destinations(block.ToString());
  message.mutable_ports()->Add(route.ports.begin(), route.ports.end());
  switch (route.action) {
    case RouteAction::kPassThrough:
      message.set_action(mesh::v1::PASS_THROUGH);
      break;
    case RouteAction::kMutualTls:
      message.set_action(mesh::v1::MUTUAL_TLS);
      break;
    case RouteAction::kRefuse:
      message.set_action(mesh::v1::REFUSE);
      break;
  }
  for (const PeerPattern &peer : route.peers) message.add_peers(peer.ToString());
  return message;
}

mesh::v1::Ban ToProto(const BanSubject &subject) {
  mesh::v1::Ban message;
  switch (subject.kind()) {
    case BanSubject::Kind::kSpiffeId:
      message.set_spiffe_id(subject.text());
      break;
    case BanSubject::Kind::kSerial:
      message.set_serial(subject.text());
      break;
    case BanSubject::Kind::kAgent:
      message.set_agent(subject.text());
      break;
  }
  return message;
}

mesh::v1::Ban ToProto(const Ban &ban) {
  mesh::v1::Ban message = ToProto(ban.subject);
  message.set_reason(ban.reason);
  *message.mutable_created_at() = ToProto(ban.created_at);
  if (ban.expires_at != absl::InfiniteFuture()) *message.mutable_expires_at() = ToProto(ban.expires_at);
  return message;
}

}  // namespace lanyard
