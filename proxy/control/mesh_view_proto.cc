#include "proxy/control/mesh_view_proto.h"

#include <optional>
#include <string>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "identity/base/version.h"
#include "identity/config/config_problems.h"
#include "identity/policy/observed_proto.h"
#include "identity/policy/rules_proto.h"

namespace lanyard {
namespace {

constexpr size_t kMaxStatusTextBytes = 512;

std::string Printable(std::string text) {
  for (char& c : text) {
    if (!absl::ascii_isprint(static_cast<unsigned char>(c))) c = ' ';
  }
  if (text.size() > kMaxStatusTextBytes) text.resize(kMaxStatusTextBytes);
  return text;
}

std::vector<SpiffeId> ReadIds(const mesh::v1::View& view, ConfigProblems& problems) {
  std::vector<SpiffeId> ids;
  for (int i = 0; i < view.spiffe_ids_size(); ++i) {
    absl::StatusOr<SpiffeId> id = SpiffeId::Parse(view.spiffe_ids(i));
    if (id.ok()) {
      ids.push_back(*std::move(id));
    } else {
      problems.Add(absl::StrCat("spiffe_ids[", i, "]"), id.status().message());
    }
  }
  return ids;
}

std::optional<SpiffeId> ReadId(const mesh::v1::View& view, ConfigProblems& problems) {
  if (view.spiffe_id().empty()) return std::nullopt;
  absl::StatusOr<SpiffeId> id = SpiffeId::Parse(view.spiffe_id());
  if (id.ok()) return *std::move(id);
  problems.Add("spiffe_id", id.status().message());
  return std::nullopt;
}

std::string ContentOf(mesh::v1::View view) {
  view.clear_version();
  view.clear_wants_observed();  // says nothing of the rules
  return view.SerializeAsString();
}

}  // namespace

absl::StatusOr<std::shared_ptr<const MeshUpdate>> ReadView(const mesh::v1::View& view) {
  ConfigProblems problems;
  auto update = std::make_shared<MeshUpdate>();
  update->version = view.version();
  update->spiffe_ids = ReadIds(view, problems);
  update->spiffe_id = ReadId(view, problems);
  update->has_rules = view.has_rules();
  update->routes = RoutesFromProto("routes", view.routes(), RuleNames::kJoined, {}, problems);
  update->inbound = InboundPolicyFromProto("inbound.rules", view.inbound().rules(), RuleNames::kJoined, problems);
  update->bans = BansFromProto("bans", view.bans(), problems);
  if (!problems.empty()) return problems.ToStatus(absl::StrCat("view ", view.version()));
  update->content = ContentOf(view);
  update->bytes = view.SerializeAsString();
  return update;
}

absl::StatusOr<std::shared_ptr<const MeshUpdate>> ParseView(absl::string_view bytes) {
  mesh::v1::View view;
  if (bytes.size() > kMaxViewBytes || !view.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return absl::DataLossError("it is no view");
  }
  return ReadView(view);
}

mesh::v1::ProxyStatus ToProto(const ProxyStatus& status) {
  mesh::v1::ProxyStatus proto;
  proto.set_version(kVersion);
  proto.set_view_version(status.view_version);
  proto.set_refused_view_error(Printable(status.refused_view_error));
  proto.set_refused_view_version(status.refused_view_version);
  proto.set_spiffe_id(status.spiffe_id);
  proto.set_serial(status.serial);
  proto.set_not_after_unix(absl::ToUnixSeconds(status.not_after));
  proto.set_open_connections(status.open_connections);
  return proto;
}

mesh::v1::Observed ToProto(const ObservedReport& report) {
  mesh::v1::Observed proto;
  proto.set_at_unix(absl::ToUnixSeconds(report.at));
  proto.set_left_out(report.left_out);
  for (const ObservedCall& call : report.calls) {
    ObservedTuple tuple;
    tuple.inbound = call.direction == "inbound";
    tuple.local_id = call.local_id;
    tuple.peer_id = call.peer_id;
    tuple.destination = call.destination;
    tuple.port = call.port;
    tuple.allowed = call.allowed;
    tuple.rule = call.rule;
    tuple.count = call.count;
    tuple.last_seen = call.last_seen;
    *proto.add_calls() = ToProto(tuple);
  }
  KeepOwnCalls([](const SpiffeId&) { return true; }, proto);
  return proto;
}

}  // namespace lanyard
