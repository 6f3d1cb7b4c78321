#include "identity/agent/saved_state_proto.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "identity/agent/node_mesh_proto.h"
#include "identity/agent/saved_state.pb.h"

namespace lanyard {
namespace {

absl::Span<const uint8_t> Bytes(const std::string& text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

absl::Status Damaged(absl::string_view what, const absl::Status& why) {
  return absl::DataLossError(absl::StrCat(what, ": ", why.message()));
}

// The message's own copy of a key is overwritten as soon as it was used.
void CleanseKey(agent::SavedSvid& svid) {
  std::string& key = *svid.mutable_key();
  Cleanse({reinterpret_cast<uint8_t*>(key.data()), key.size()});
}

void FillSvid(const X509Svid& svid, absl::Time obtained_at, agent::SavedSvid& out) {
  out.set_key(std::string(svid.key().ExportPkcs8Der().text()));
  out.set_chain(svid.ChainDer());
  out.set_obtained_unix_ms(absl::ToUnixMillis(obtained_at));
}

absl::StatusOr<X509Svid> ReadSvid(const agent::SavedSvid& saved) {
  absl::StatusOr<PrivateKey> key = PrivateKey::ParsePkcs8Der(Bytes(saved.key()));
  if (!key.ok()) return Damaged("a kept private key", key.status());
  absl::StatusOr<std::vector<Certificate>> chain = Certificate::ParseConcatenatedDer(Bytes(saved.chain()));
  if (!chain.ok()) return Damaged("a kept certificate chain", chain.status());
  absl::StatusOr<X509Svid> svid = X509Svid::Create(*std::move(chain), *std::move(key));
  if (!svid.ok()) return Damaged("a kept SVID", svid.status());
  return svid;
}

template <typename Message>
void FillBundles(const BundleSet& bundles, Message& out) {
  for (const auto& [trust_domain, bundle] : bundles.bundles()) {
    agent::SavedBundle* saved = out.add_bundles();
    saved->set_trust_domain(trust_domain.name());
    saved->set_authorities(bundle.ToConcatenatedDer());
  }
}

template <typename Message>
absl::StatusOr<BundleSet> ReadBundles(const Message& message) {
  BundleSet bundles;
  for (const agent::SavedBundle& saved : message.bundles()) {
    absl::StatusOr<TrustDomain> trust_domain = TrustDomain::Parse(saved.trust_domain());
    if (!trust_domain.ok()) return Damaged("a kept bundle", trust_domain.status());
    absl::StatusOr<X509Bundle> bundle =
        X509Bundle::ParseConcatenatedDer(*std::move(trust_domain), Bytes(saved.authorities()));
    if (!bundle.ok()) return Damaged("a kept bundle", bundle.status());
    bundles.Set(*std::move(bundle));
  }
  return bundles;
}

void FillEntry(const WorkloadEntry& entry, agent::SavedEntry& out) {
  out.set_id(entry.id);
  out.set_spiffe_id(entry.spiffe_id.ToString());
  for (const std::string& selector : entry.selectors) out.add_selectors(selector);
  out.set_x509_svid_ttl_seconds(entry.x509_svid_ttl_seconds);
  for (const std::string& name : entry.dns_names) out.add_dns_names(name);
  out.set_hint(entry.hint);
}

absl::StatusOr<WorkloadEntry> ReadEntry(const agent::SavedEntry& saved) {
  absl::StatusOr<SpiffeId> id = SpiffeId::Parse(saved.spiffe_id());
  if (!id.ok()) return Damaged("a kept entry", id.status());
  return WorkloadEntry{.id = saved.id(),
                       .spiffe_id = *std::move(id),
                       .selectors = {saved.selectors().begin(), saved.selectors().end()},
                       .x509_svid_ttl_seconds = saved.x509_svid_ttl_seconds(),
                       .dns_names = {saved.dns_names().begin(), saved.dns_names().end()},
                       .hint = saved.hint()};
}

void FillMesh(const NodeMesh& mesh, agent::SavedMesh& out) {
  out.set_version(mesh.version);
  for (const WorkloadRules& rules : mesh.rules) {
    agent::SavedMesh::Rules* const saved = out.add_rules();
    saved->set_name(rules.name);
    for (const PeerPattern& workload : rules.workloads) saved->add_workloads(workload.ToString());
    saved->set_view(rules.view);
  }
  out.set_bans(mesh.bans);
}

absl::StatusOr<std::shared_ptr<const NodeMesh>> ReadMesh(const agent::SavedMesh& saved) {
  auto mesh = std::make_shared<NodeMesh>();
  mesh->version = saved.version();
  for (const agent::SavedMesh::Rules& rules : saved.rules()) {
    WorkloadRules& read = mesh->rules.emplace_back(WorkloadRules{rules.name(), {}, rules.view()});
    for (const std::string& workload : rules.workloads()) {
      absl::StatusOr<PeerPattern> pattern = PeerPattern::Parse(workload);
      if (!pattern.ok()) return Damaged("a kept policy or route set", pattern.status());
      read.workloads.push_back(*std::move(pattern));
    }
  }
  mesh->bans = saved.bans();
  mesh->ban_set = ReadBans(mesh->bans);
  return mesh;
}

template <typename Message>
Secret Serialize(const Message& message) {
  Secret bytes(message.ByteSizeLong());
  message.SerializeToArray(bytes.mutable_bytes().data(), static_cast<int>(bytes.bytes().size()));
  return bytes;
}

template <typename Message>
absl::Status Parse(absl::Span<const uint8_t> bytes, Message& message) {
  if (message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return absl::OkStatus();
  return absl::DataLossError("not in the form this version of the agent writes");
}

}  // namespace

Secret EncodeNode(const NodeIdentity& node) {
  agent::SavedNode message;
  FillSvid(node.svid, node.obtained_at, *message.mutable_svid());
  FillBundles(node.bundles, message);
  Secret bytes = Serialize(message);
  CleanseKey(*message.mutable_svid());
  return bytes;
}

absl::StatusOr<NodeIdentity> DecodeNode(absl::Span<const uint8_t> bytes) {
  agent::SavedNode message;
  if (const absl::Status parsed = Parse(bytes, message); !parsed.ok()) return parsed;
  absl::StatusOr<X509Svid> svid = ReadSvid(message.svid());
  CleanseKey(*message.mutable_svid());
  if (!svid.ok()) return svid.status();
  absl::StatusOr<BundleSet> bundles = ReadBundles(message);
  if (!bundles.ok()) return bundles.status();
  return NodeIdentity{*std::move(svid), *std::move(bundles), absl::FromUnixMillis(message.svid().obtained_unix_ms())};
}

Secret EncodeWorkloads(const KeptWorkloads& workloads) {
  agent::SavedWorkloads message;
  message.set_revision(workloads.state.revision);
  for (const WorkloadEntry& entry : workloads.state.entries) FillEntry(entry, *message.add_entries());
  FillBundles(workloads.state.bundles, message);
  if (workloads.state.mesh != nullptr) FillMesh(*workloads.state.mesh, *message.mutable_mesh());
  for (const KeptSvid& kept : workloads.svids) {
    agent::SavedSvid* saved = message.add_svids();
    saved->set_entry_id(kept.entry_id);
    FillSvid(kept.svid, kept.obtained_at, *saved);
  }
  Secret bytes = Serialize(message);
  for (agent::SavedSvid& svid : *message.mutable_svids()) CleanseKey(svid);
  return bytes;
}

absl::StatusOr<KeptWorkloads> DecodeWorkloads(absl::Span<const uint8_t> bytes) {
  agent::SavedWorkloads message;
  if (const absl::Status parsed = Parse(bytes, message); !parsed.ok()) return parsed;
  KeptWorkloads workloads;
  workloads.state.revision = message.revision();
  for (const agent::SavedEntry& saved : message.entries()) {
    absl::StatusOr<WorkloadEntry> entry = ReadEntry(saved);
    if (!entry.ok()) return entry.status();
    workloads.state.entries.push_back(*std::move(entry));
  }
  absl::StatusOr<BundleSet> bundles = ReadBundles(message);
  if (!bundles.ok()) return bundles.status();
  workloads.state.bundles = *std::move(bundles);
  if (message.has_mesh()) {
    absl::StatusOr<std::shared_ptr<const NodeMesh>> mesh = ReadMesh(message.mesh());
    if (!mesh.ok()) return mesh.status();
    workloads.state.mesh = *std::move(mesh);
  }
  for (agent::SavedSvid& saved : *message.mutable_svids()) {
    absl::StatusOr<X509Svid> svid = ReadSvid(saved);
    CleanseKey(saved);
    if (!svid.ok()) return svid.status();
    workloads.svids.push_back({saved.entry_id(), *std::move(svid), absl::FromUnixMillis(saved.obtained_unix_ms())});
  }
  return workloads;
}

}  // namespace lanyard
