// A FakeAuthority on the wire.
#pragma once

#include <functional>
#include <memory>
#include <optional>

#include "identity/agent/fake_authority.h"
#include "identity/spiffe/spiffe_id.h"

namespace grpc {
class Service;
class ServerContextBase;
}  // namespace grpc

namespace lanyard {

// `node_of` says who calls (ChannelServer::PeerOf); nothing for an anonymous client. Borrows the authority.
std::unique_ptr<grpc::Service> NewFakeAuthorityService(
    FakeAuthority& authority, std::function<std::optional<SpiffeId>(const grpc::ServerContextBase&)> node_of);

}  // namespace lanyard
