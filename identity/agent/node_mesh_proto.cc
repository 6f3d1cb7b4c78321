#include "identity/agent/node_mesh_proto.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "identity/config/config_problems.h"
#include "identity/policy/rules_proto.h"
#include "identity/policy/workload_rules.h"

namespace lanyard {
namespace {

// The same set gives the same bytes: equality of what was received is equality of what is meant.
std::string Piece(const mesh::v1::View& view) { return view.SerializeAsString(); }

template <typename Set>
absl::StatusOr<WorkloadRules> ReadWorkloads(const Set& set, absl::string_view kind) {
  WorkloadRules read;
  read.name = set.name();
  for (const std::string& text : set.workloads()) {
    absl::StatusOr<PeerPattern> pattern = PeerPattern::Parse(text);
    if (!pattern.ok()) {
      return absl::InvalidArgumentError(absl::StrCat(kind, " ", set.name(), ": ", pattern.status().message()));
    }
    read.workloads.push_back(*std::move(pattern));
  }
  return read;
}

absl::StatusOr<WorkloadRules> ReadPolicy(const authority::v1::WorkloadPolicy& policy) {
  absl::StatusOr<WorkloadRules> read = ReadWorkloads(policy, "policy");
  if (!read.ok()) return read;
  mesh::v1::View piece;
  for (const mesh::v1::InboundRule& rule : policy.rules()) {
    mesh::v1::InboundRule* const one = piece.mutable_inbound()->add_rules();
    *one = rule;
    one->set_name(JoinedName(policy.name(), rule.name()));
  }
  read->view = Piece(piece);
  return read;
}

absl::StatusOr<WorkloadRules> ReadRoutes(const authority::v1::WorkloadRoutes& routes) {
  absl::StatusOr<WorkloadRules> read = ReadWorkloads(routes, "route set");
  if (!read.ok()) return read;
  mesh::v1::View piece;
  for (const mesh::v1::Route& route : routes.routes()) {
    mesh::v1::Route* const one = piece.add_routes();
    *one = route;
    one->set_name(JoinedName(routes.name(), route.name()));
  }
  read->view = Piece(piece);
  return read;
}

bool IsPrintable(const std::string& text) {
  return text.size() <= kMaxProxyStatusTextBytes &&
         std::none_of(text.begin(), text.end(), [](unsigned char c) { return absl::ascii_iscntrl(c); });
}

}  // namespace

absl::StatusOr<std::shared_ptr<const NodeMesh>> ReadNodeMesh(const authority::v1::NodeState& message) {
  auto mesh = std::make_shared<NodeMesh>();
  mesh->version = message.mesh_version();
  for (const authority::v1::WorkloadPolicy& policy : message.policies()) {
    absl::StatusOr<WorkloadRules> read = ReadPolicy(policy);
    if (!read.ok()) return read.status();
    mesh->rules.push_back(*std::move(read));
  }
  for (const authority::v1::WorkloadRoutes& routes : message.routes()) {
    absl::StatusOr<WorkloadRules> read = ReadRoutes(routes);
    if (!read.ok()) return read.status();
    mesh->rules.push_back(*std::move(read));
  }
  mesh::v1::View bans;
  for (const mesh::v1::Ban& ban : message.bans()) {
    if (!ban.has_agent()) *bans.add_bans() = ban;
  }
  mesh->bans = Piece(bans);
  mesh->ban_set = ReadBans(mesh->bans);
  return mesh;
}

BanSet ReadBans(const std::string& piece) {
  mesh::v1::View view;
  if (!view.ParseFromString(piece)) return {};
  ConfigProblems unreadable;
  return BanSet(BansFromProto("bans", view.bans(), unreadable));
}

absl::StatusOr<mesh::v1::View> ViewOf(const MeshAnswer& answer) {
  mesh::v1::View view;
  if (!view.ParseFromString(answer.rules + answer.bans)) {
    return absl::DataLossError("the rules are not in the form of a View");
  }
  view.set_version(answer.version);
  view.set_has_rules(answer.has_rules);
  view.set_wants_observed(true);
  for (const SpiffeId& id : answer.spiffe_ids) view.add_spiffe_ids(id.ToString());
  if (answer.spiffe_id.has_value()) view.set_spiffe_id(answer.spiffe_id->ToString());
  return view;
}

absl::Status CheckProxyStatus(const mesh::v1::ProxyStatus& status) {
  const std::pair<const char*, const std::string*> texts[] = {{"version", &status.version()},
                                                              {"refused_view_error", &status.refused_view_error()},
                                                              {"spiffe_id", &status.spiffe_id()},
                                                              {"serial", &status.serial()}};
  for (const auto& [name, text] : texts) {
    if (IsPrintable(*text)) continue;
    return absl::InvalidArgumentError(
        absl::StrCat("status.", name, " is not plain text of at most ", kMaxProxyStatusTextBytes, " bytes"));
  }
  return absl::OkStatus();
}

}  // namespace lanyard
