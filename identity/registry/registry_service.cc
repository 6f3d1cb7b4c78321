#include "identity/registry/registry_service.h"

#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "api/lanyard/registry/registry.grpc.pb.h"
#include "google/protobuf/util/time_util.h"
#include "identity/base/logging.h"
#include "identity/registry/grpc_status.h"

namespace lanyard {
namespace {

namespace v1 = registry::v1;

google::protobuf::Timestamp ToProto(absl::Time time) {
  return google::protobuf::util::TimeUtil::MicrosecondsToTimestamp(absl::ToUnixMicros(time));
}

v1::Entry ToProto(const Entry& entry) {
  v1::Entry message;
  message.set_id(entry.id());
  message.set_spiffe_id(entry.spiffe_id().ToString());
  if (entry.parent()) message.set_parent_id(entry.parent()->ToString());
  for (const Selector& selector : entry.selectors()) message.add_selectors(selector.ToString());
  message.set_x509_svid_ttl_seconds(absl::ToInt64Seconds(entry.x509_svid_ttl()));
  for (const std::string& name : entry.dns_names()) message.add_dns_names(name);
  message.set_hint(entry.hint());
  *message.mutable_created_at() = ToProto(entry.created_at());
  return message;
}

EntryFields FromProto(const v1::Entry& message) {
  EntryFields fields;
  fields.spiffe_id = message.spiffe_id();
  fields.parent_id = message.parent_id();
  fields.selectors.assign(message.selectors().begin(), message.selectors().end());
  fields.x509_svid_ttl = absl::Seconds(message.x509_svid_ttl_seconds());
  fields.dns_names.assign(message.dns_names().begin(), message.dns_names().end());
  fields.hint = message.hint();
  return fields;
}

class RegistryService final : public v1::Registry::Service {
 public:
  RegistryService(Registry& registry, AuthorityFacts& facts, const Clock& clock, std::string version)
      : registry_(registry), facts_(facts), clock_(clock), version_(std::move(version)) {}

  grpc::Status CreateEntry(grpc::ServerContext* call, const v1::CreateEntryRequest* request,
                           v1::CreateEntryResponse* response) override {
    const absl::StatusOr<Entry> entry = registry_.CreateEntry(FromProto(request->entry()));
    if (!entry.ok()) return ToGrpcStatus(entry.status());
    Log(LogLevel::kInfo, "created an entry",
        {{"entry_id", entry->id()},
         {"spiffe_id", entry->spiffe_id().ToString()},
         {"operator", facts_.OperatorOf(*call)}});
    *response->mutable_entry() = ToProto(*entry);
    return grpc::Status::OK;
  }

  grpc::Status ListEntries(grpc::ServerContext*, const v1::ListEntriesRequest* request,
                           v1::ListEntriesResponse* response) override {
    const std::shared_ptr<const RegistrySnapshot> snapshot = registry_.snapshot();
    for (const auto& [id, entry] : snapshot->entries) {
      const std::string parent = entry.parent() ? entry.parent()->ToString() : "";
      if (!request->spiffe_id().empty() && request->spiffe_id() != entry.spiffe_id().ToString()) continue;
      if (!request->parent_id().empty() && request->parent_id() != parent) continue;
      *response->add_entries() = ToProto(entry);
    }
    return grpc::Status::OK;
  }

  grpc::Status DeleteEntry(grpc::ServerContext* call, const v1::DeleteEntryRequest* request,
                           v1::DeleteEntryResponse* response) override {
    const absl::StatusOr<Entry> entry = registry_.DeleteEntry(request->id());
    if (!entry.ok()) return ToGrpcStatus(entry.status());
    Log(LogLevel::kInfo, "deleted an entry",
        {{"entry_id", entry->id()},
         {"spiffe_id", entry->spiffe_id().ToString()},
         {"operator", facts_.OperatorOf(*call)}});
    *response->mutable_entry() = ToProto(*entry);
    return grpc::Status::OK;
  }

  grpc::Status CreateJoinToken(grpc::ServerContext* call, const v1::CreateJoinTokenRequest* request,
                               v1::CreateJoinTokenResponse* response) override {
    const absl::StatusOr<NewJoinToken> token =
        registry_.CreateJoinToken(request->node_name(), absl::Seconds(request->ttl_seconds()));
    if (!token.ok()) return ToGrpcStatus(token.status());
    Log(LogLevel::kInfo, "created a join token",
        {{"agent_id", token->agent_id.ToString()},
         {"expires_at", absl::FormatTime(token->expires_at, absl::UTCTimeZone())},
         {"operator", facts_.OperatorOf(*call)}});
    response->set_token(token->text);
    response->set_agent_id(token->agent_id.ToString());
    *response->mutable_expires_at() = ToProto(token->expires_at);
    return grpc::Status::OK;
  }

  grpc::Status ListAgents(grpc::ServerContext*, const v1::ListAgentsRequest*,
                          v1::ListAgentsResponse* response) override {
    const absl::StatusOr<std::vector<Node>> nodes = registry_.ListNodes();
    if (!nodes.ok()) return ToGrpcStatus(nodes.status());
    for (const Node& node : *nodes) {
      v1::Agent* agent = response->add_agents();
      agent->set_spiffe_id(node.id.ToString());
      agent->set_attestation(node.attestation);
      *agent->mutable_attested_at() = ToProto(node.attested_at);
      *agent->mutable_svid_expires_at() = ToProto(node.svid_expires_at);
      agent->set_svid_serial(node.svid_serial);
      agent->set_connected(facts_.IsConnected(node.id));
    }
    return grpc::Status::OK;
  }

  grpc::Status DeleteAgent(grpc::ServerContext* call, const v1::DeleteAgentRequest* request,
                           v1::DeleteAgentResponse*) override {
    const absl::StatusOr<SpiffeId> id = SpiffeId::Parse(request->spiffe_id());
    if (!id.ok()) return ToGrpcStatus(id.status());
    if (absl::Status deleted = registry_.DeleteNode(*id); !deleted.ok()) return ToGrpcStatus(deleted);
    facts_.Disconnect(*id);
    Log(LogLevel::kInfo, "deleted an agent", {{"agent_id", id->ToString()}, {"operator", facts_.OperatorOf(*call)}});
    return grpc::Status::OK;
  }

  grpc::Status GetBundle(grpc::ServerContext*, const v1::GetBundleRequest*, v1::GetBundleResponse* response) override {
    const std::shared_ptr<const RegistrySnapshot> snapshot = registry_.snapshot();
    response->set_trust_domain(snapshot->bundle.trust_domain().name());
    for (const Certificate& root : snapshot->bundle.authorities()) response->add_authorities(root.der());
    return grpc::Status::OK;
  }

  grpc::Status GetStatus(grpc::ServerContext*, const v1::GetStatusRequest*, v1::GetStatusResponse* response) override {
    const absl::StatusOr<std::vector<Node>> nodes = registry_.ListNodes();
    if (!nodes.ok()) return ToGrpcStatus(nodes.status());
    const std::shared_ptr<const RegistrySnapshot> snapshot = registry_.snapshot();
    response->set_version(version_);
    response->set_trust_domain(registry_.trust_domain().name());
    *response->mutable_now() = ToProto(clock_.Now());
    for (const AuthorityRecord& authority : snapshot->authorities) {
      v1::SigningAuthority* message = response->add_authorities();
      message->set_kind(std::string(AuthorityKindName(authority.kind)));
      message->set_state(std::string(AuthorityStateName(authority.state)));
      message->set_serial(authority.certificate.serial());
      message->set_sha256(absl::BytesToHexString(authority.certificate.fingerprint()));
      *message->mutable_not_before() = ToProto(authority.certificate.not_before());
      *message->mutable_not_after() = ToProto(authority.certificate.not_after());
    }
    response->set_entries(static_cast<int64_t>(snapshot->entries.size()));
    response->set_agents(static_cast<int64_t>(nodes->size()));
    response->set_grpc_address(facts_.agents_address());
    return grpc::Status::OK;
  }

 private:
  Registry& registry_;
  AuthorityFacts& facts_;
  const Clock& clock_;
  const std::string version_;
};

}  // namespace

std::unique_ptr<grpc::Service> NewRegistryService(Registry& registry, AuthorityFacts& facts, const Clock& clock,
                                                  std::string version) {
  return std::make_unique<RegistryService>(registry, facts, clock, std::move(version));
}

}  // namespace lanyard
