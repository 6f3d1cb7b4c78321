// An agent's MeshService for tests, on a Unix socket: says what it is told to say, and remembers what it was told.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "api/lanyard/mesh/mesh.grpc.pb.h"

namespace grpc {
class Server;
}  // namespace grpc

namespace lanyard {

// Thread-safe.
class FakeMeshService : private mesh::v1::MeshService::Service {
 public:
  // `path`: of the socket, which it replaces.
  explicit FakeMeshService(const std::string& path);
  ~FakeMeshService();  // Stop()

  // Sent to every stream, open or to come.
  void Send(mesh::v1::View view);
  // Cancels every stream; those to come end with that status, until the next Send.
  void Fail(grpc::StatusCode code, const std::string& message);
  // Closes the socket and removes it.
  void Stop();
  int streams_begun() const;
  std::vector<mesh::v1::ProxyStatus> statuses() const;
  // Until some status satisfies it; false when that takes too long.
  bool WaitForStatus(const std::function<bool(const mesh::v1::ProxyStatus&)>& matches) const;
  // The same of what a proxy observed.
  bool WaitForObserved(const std::function<bool(const mesh::v1::Observed&)>& matches) const;
  std::vector<mesh::v1::Observed> observed() const;

 private:
  using Stream = grpc::ServerReaderWriter<mesh::v1::View, mesh::v1::WatchRequest>;
  grpc::Status Watch(grpc::ServerContext* call, Stream* stream) override;
  grpc::Status Tell(grpc::ServerContext* call, Stream* stream);

  const std::string path_;
  mutable absl::Mutex mutex_;
  mesh::v1::View view_ ABSL_GUARDED_BY(mutex_);
  grpc::Status failure_ ABSL_GUARDED_BY(mutex_);
  uint64_t sends_ ABSL_GUARDED_BY(mutex_) = 0;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  int streams_begun_ ABSL_GUARDED_BY(mutex_) = 0;
  std::vector<mesh::v1::ProxyStatus> statuses_ ABSL_GUARDED_BY(mutex_);
  std::vector<mesh::v1::Observed> observed_ ABSL_GUARDED_BY(mutex_);
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace lanyard
