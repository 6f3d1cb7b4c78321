// A Workload API for tests, on a Unix socket: says what it is told to say, to every stream at once.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "api/spiffe/workload.grpc.pb.h"
#include "identity/spiffe/fake_ca.h"

namespace grpc {
class Server;
}  // namespace grpc

namespace lanyard {

// Thread-safe.
class FakeWorkloadApi : private SpiffeWorkloadAPI::Service {
 public:
  // `path`: of the socket, which it replaces.
  explicit FakeWorkloadApi(const std::string& path);
  ~FakeWorkloadApi();   // Stop()

  // Sent to every stream, open or to come.
  void Send(X509SVIDResponse response);
  // Ends every stream with that status; those to come end likewise, until the next Send.
  void Fail(grpc::StatusCode code, const std::string& message);
  // Ends every stream once; those to come get what was sent last.
  void DropStreams();
  // Closes the socket and removes it.
  void Stop();
  int streams_begun() const;

  // The message for `leaf` under `ca`.
  static X509SVIDResponse ResponseFor(const FakeLeaf& leaf, const FakeCa& ca);

 private:
  grpc::Status FetchX509SVID(grpc::ServerContext* call, const X509SVIDRequest* request,
                             grpc::ServerWriter<X509SVIDResponse>* writer) override;

  const std::string path_;
  mutable absl::Mutex mutex_;
  X509SVIDResponse response_ ABSL_GUARDED_BY(mutex_);
  bool has_response_ ABSL_GUARDED_BY(mutex_) = false;
  grpc::Status failure_ ABSL_GUARDED_BY(mutex_);
  uint64_t version_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t drops_ ABSL_GUARDED_BY(mutex_) = 0;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  int streams_begun_ ABSL_GUARDED_BY(mutex_) = 0;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace lanyard
