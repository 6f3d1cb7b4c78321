#include "identity/cli/registry_client.h"

#include <utility>

#include "api/lanyard/registry/registry.grpc.pb.h"
#include "grpcpp/grpcpp.h"
#include "identity/cli/authority_call_client.h"

namespace lanyard {
namespace {

namespace v1 = ::lanyard::registry::v1;

absl::Time FromProto(const google::protobuf::Timestamp& time) {
  return absl::FromUnixSeconds(time.seconds()) + absl::Nanoseconds(time.nanos());
}

EntryRecord FromProto(const v1::Entry& entry) {
  EntryRecord record;
  record.id = entry.id();
  record.spiffe_id = entry.spiffe_id();
  record.parent_id = entry.parent_id();
  record.selectors.assign(entry.selectors().begin(), entry.selectors().end());
  record.x509_svid_ttl = absl::Seconds(entry.x509_svid_ttl_seconds());
  record.dns_names.assign(entry.dns_names().begin(), entry.dns_names().end());
  record.hint = entry.hint();
  record.created_at = FromProto(entry.created_at());
  return record;
}

}  // namespace

struct RegistryClient::Stub {
  AuthorityConnection connection;
  std::unique_ptr<v1::Registry::Stub> registry;

  template <typename Request, typename Response>
  absl::StatusOr<Response> Call(grpc::Status (v1::Registry::Stub::*method)(grpc::ClientContext*, const Request&,
                                                                           Response*),
                                const Request& request) {
    return CallAuthority(connection, *registry, method, request);
  }
};

RegistryClient::RegistryClient(std::string socket_path, absl::Duration timeout, absl::Duration wait)
    : stub_(std::make_unique<Stub>(Stub{ConnectToAuthority(socket_path, timeout, wait), nullptr})) {
  stub_->registry = v1::Registry::NewStub(stub_->connection.channel);
}

RegistryClient::~RegistryClient() = default;

absl::StatusOr<EntryRecord> RegistryClient::CreateEntry(const EntryRecord& entry) {
  v1::CreateEntryRequest request;
  v1::Entry& message = *request.mutable_entry();
  message.set_spiffe_id(entry.spiffe_id);
  message.set_parent_id(entry.parent_id);
  for (const std::string& selector : entry.selectors) message.add_selectors(selector);
  message.set_x509_svid_ttl_seconds(absl::ToInt64Seconds(entry.x509_svid_ttl));
  for (const std::string& name : entry.dns_names) message.add_dns_names(name);
  message.set_hint(entry.hint);
  const auto response = stub_->Call(&v1::Registry::Stub::CreateEntry, request);
  if (!response.ok()) return response.status();
  return FromProto(response->entry());
}

absl::StatusOr<std::vector<EntryRecord>> RegistryClient::ListEntries(const std::string& spiffe_id,
                                                                     const std::string& parent_id) {
  v1::ListEntriesRequest request;
  request.set_spiffe_id(spiffe_id);
  request.set_parent_id(parent_id);
  const auto response = stub_->Call(&v1::Registry::Stub::ListEntries, request);
  if (!response.ok()) return response.status();
  std::vector<EntryRecord> entries;
  for (const v1::Entry& entry : response->entries()) entries.push_back(FromProto(entry));
  return entries;
}

absl::StatusOr<EntryRecord> RegistryClient::DeleteEntry(const std::string& id) {
  v1::DeleteEntryRequest request;
  request.set_id(id);
  const auto response = stub_->Call(&v1::Registry::Stub::DeleteEntry, request);
  if (!response.ok()) return response.status();
  return FromProto(response->entry());
}

absl::StatusOr<JoinTokenRecord> RegistryClient::CreateJoinToken(const std::string& node_name, absl::Duration ttl) {
  v1::CreateJoinTokenRequest request;
  request.set_node_name(node_name);
  request.set_ttl_seconds(absl::ToInt64Seconds(ttl));
  const auto response = stub_->Call(&v1::Registry::Stub::CreateJoinToken, request);
  if (!response.ok()) return response.status();
  return JoinTokenRecord{response->token(), response->agent_id(), FromProto(response->expires_at())};
}

absl::Status RegistryClient::DeleteAgent(const std::string& spiffe_id) {
  v1::DeleteAgentRequest request;
  request.set_spiffe_id(spiffe_id);
  return stub_->Call(&v1::Registry::Stub::DeleteAgent, request).status();
}

absl::StatusOr<std::vector<AgentRecord>> RegistryClient::ListAgents() {
  const auto response = stub_->Call(&v1::Registry::Stub::ListAgents, v1::ListAgentsRequest());
  if (!response.ok()) return response.status();
  std::vector<AgentRecord> agents;
  for (const v1::Agent& agent : response->agents()) {
    agents.push_back({agent.spiffe_id(), agent.attestation(), FromProto(agent.attested_at()),
                      FromProto(agent.svid_expires_at()), agent.svid_serial(), agent.connected()});
  }
  return agents;
}

absl::StatusOr<BundleRecord> RegistryClient::GetBundle() {
  const auto response = stub_->Call(&v1::Registry::Stub::GetBundle, v1::GetBundleRequest());
  if (!response.ok()) return response.status();
  return BundleRecord{response->trust_domain(), {response->authorities().begin(), response->authorities().end()}};
}

absl::StatusOr<AuthorityStatus> RegistryClient::GetStatus() {
  const auto response = stub_->Call(&v1::Registry::Stub::GetStatus, v1::GetStatusRequest());
  if (!response.ok()) return response.status();
  AuthorityStatus status{response->version(), response->trust_domain(), FromProto(response->now()), {}, 0, 0, ""};
  for (const v1::SigningAuthority& authority : response->authorities()) {
    status.authorities.push_back({authority.kind(), authority.state(), authority.serial(),
                                  FromProto(authority.not_before()), FromProto(authority.not_after()),
                                  authority.sha256()});
  }
  status.entries = response->entries();
  status.agents = response->agents();
  status.grpc_address = response->grpc_address();
  return status;
}

}  // namespace lanyard
