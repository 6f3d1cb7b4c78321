// For tests: the agents' service on an in-process gRPC server, with a caller of the test's choice.
#pragma once

#include <grpcpp/grpcpp.h>

#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "api/lanyard/authority/authority.grpc.pb.h"
#include "identity/authority/authority_service.h"
#include "identity/authority/authority_testing.h"

namespace lanyard {

class ServedAuthority {
 public:
  ServedAuthority() {
    service_ = NewAuthorityService({*parts.registry, *parts.mesh, parts.reports, parts.clock, *parts.issuer,
                                    *parts.attestation, parts.watches, issuing,
                                    [this](const grpc::ServerContextBase&) { return peer(); }});
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
  IssuingCounters issuing;
  std::unique_ptr<authority::v1::Authority::Stub> stub;

 private:
  std::optional<VerifiedSvid> peer() {
    std::lock_guard<std::mutex> lock(mutex_);
    return peer_;
  }
  std::mutex mutex_;  // guards peer_
  std::optional<VerifiedSvid> peer_;
  std::unique_ptr<grpc::Service> service_;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace lanyard
