// One call to the authority on its Unix socket: deadline, progress, and errors that name the socket and the remedy.
#pragma once

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "grpcpp/grpcpp.h"
#include "identity/cli/output.h"

namespace lanyard {

struct AuthorityConnection {
  std::string path;
  absl::Duration timeout;  // of each call
  absl::Duration wait;     // for the authority to be there, before that
  std::shared_ptr<grpc::Channel> channel;
};

// `socket_path` is a path, "unix:PATH" or "unix://PATH". Does not connect yet.
AuthorityConnection ConnectToAuthority(const std::string& socket_path, absl::Duration timeout,
                                       absl::Duration wait = absl::ZeroDuration());

// The call's deadline, and whether it waits for the socket.
void SetPatience(const AuthorityConnection& connection, grpc::ClientContext& context);

// Unavailable and DeadlineExceeded in words; the authority's own errors as they are.
absl::Status ExplainAuthorityError(const AuthorityConnection& connection, const grpc::Status& status);

template <typename Stub, typename Request, typename Response>
absl::StatusOr<Response> CallAuthority(const AuthorityConnection& connection, Stub& stub,
                                       grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                                       const Request& request) {
  const Progress progress(absl::StrCat("waiting for the authority at ", connection.path));
  grpc::ClientContext context;
  SetPatience(connection, context);
  Response response;
  const grpc::Status status = (stub.*method)(&context, request, &response);
  if (status.ok()) return response;
  return ExplainAuthorityError(connection, status);
}

}  // namespace lanyard
