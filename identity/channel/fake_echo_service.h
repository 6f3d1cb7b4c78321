// A gRPC service for the channel's tests, on the Workload API's messages: FetchJWTSVID answers with its first audience
// and the caller's name; FetchX509Bundles streams until the client has gone.
#pragma once

#include <functional>
#include <string>

#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "api/spiffe/workload.grpc.pb.h"

namespace lanyard {

class FakeEchoService : public SpiffeWorkloadAPI::Service {
 public:
  // Who calls, to be put into the answer; set before the first call.
  std::function<std::string(const grpc::ServerContextBase&)> who = [](const grpc::ServerContextBase&) { return ""; };
  // Size of each streamed message.
  size_t streamed_size_bytes = 1 << 20;

  grpc::Status FetchJWTSVID(grpc::ServerContext* call, const JWTSVIDRequest* request,
                            JWTSVIDResponse* response) override;
  // Writes until the client no longer reads; with back-pressure, as gRPC blocks the write.
  grpc::Status FetchX509Bundles(grpc::ServerContext* call, const X509BundlesRequest* request,
                                grpc::ServerWriter<X509BundlesResponse>* writer) override;
  // Writes one message, then waits for Release or 60 s; the status says whether the caller is still known then.
  grpc::Status FetchX509SVID(grpc::ServerContext* call, const X509SVIDRequest* request,
                             grpc::ServerWriter<X509SVIDResponse>* writer) override;

  void Release();
  int streams_ended() const;
  // False when that takes longer than 60 s.
  bool AwaitStreamsEnded(int count) const;
  uint64_t messages_streamed() const;

  // What the held stream's caller was at its end.
  std::string who_at_end() const;

 private:
  mutable absl::Mutex mutex_;
  bool released_ ABSL_GUARDED_BY(mutex_) = false;
  int streams_ended_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t messages_streamed_ ABSL_GUARDED_BY(mutex_) = 0;
  std::string who_at_end_ ABSL_GUARDED_BY(mutex_);
};

// One unary call that echoes `text`; the caller's name comes back in `who` if not null.
grpc::Status Echo(const std::shared_ptr<grpc::Channel>& channel, const std::string& text, std::string* echoed,
                  std::string* who = nullptr);

// A call whose second answer never comes: returns when the connection is closed. False if that was before the call had
// begun, as on a machine that is busy.
bool HoldUntilClosed(const std::shared_ptr<grpc::Channel>& channel);

}  // namespace lanyard
