// For tests: the agents' service on an in-process gRPC server, with a caller of the test's choice.
#pragma once

#include <grpcpp/grpcpp.h>

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "api/lanyard/authority/authority.grpc.pb.h"
#include "identity/authority/authority_service.h"
#include "identity/authority/authority_testing.h"

namespace lanyard {

class ServedAuthority {
 public:
  ServedAuthority() {
    service_ = NewAuthorityService({*parts.registry, *parts.mesh, parts.reports, parts.clock, *parts.issuer,
                                    *parts.attestation, parts.watches, issuing, allowance,
                                    [this](const grpc::ServerContextBase&) { return peer(); },
                                    [this](const SpiffeId& agent) { Disconnected(agent); }});
    grpc::ServerBuilder builder;
    builder.RegisterService(service_.get());
    server_ = builder.BuildAndStart();
    stub = authority::v1::Authority::NewStub(server_->InProcessChannel({}));
  }
  ~ServedAuthority() {
    parts.watches.EndAll(absl::UnavailableError("the test ends"));
    stub.reset();
    server_->Shutdown();
  }

  // From now on every call comes over a connection of `peer`.
  void CallAs(std::optional<VerifiedSvid> peer) {
    std::lock_guard<std::mutex> lock(mutex_);
    peer_ = std::move(peer);
  }

  AuthorityParts parts;
  // Agents that were to be disconnected, in order.
  std::vector<SpiffeId> disconnected() {
    std::lock_guard<std::mutex> lock(mutex_);
    return disconnected_;
  }

  IssuingCounters issuing;
  SigningAllowance allowance{parts.clock};
  std::unique_ptr<authority::v1::Authority::Stub> stub;

 private:
  std::optional<VerifiedSvid> peer() {
    std::lock_guard<std::mutex> lock(mutex_);
    return peer_;
  }
  void Disconnected(const SpiffeId& agent) {
    std::lock_guard<std::mutex> lock(mutex_);
    disconnected_.push_back(agent);
  }
  std::mutex mutex_;  // guards peer_ and disconnected_
  std::optional<VerifiedSvid> peer_;
  std::vector<SpiffeId> disconnected_;
  std::unique_ptr<grpc::Service> service_;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace lanyard
