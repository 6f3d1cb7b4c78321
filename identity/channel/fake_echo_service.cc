#include "identity/channel/fake_echo_service.h"

#include <grpcpp/grpcpp.h>

#include <chrono>

#include "absl/time/clock.h"
#include "gtest/gtest.h"

namespace lanyard {
namespace {

// gRPC itself may notice an end only when its threads look again, after ten seconds.
constexpr absl::Duration kPatience = absl::Seconds(60);

}  // namespace

grpc::Status FakeEchoService::FetchJWTSVID(grpc::ServerContext* call, const JWTSVIDRequest* request,
                                           JWTSVIDResponse* response) {
  JWTSVID* svid = response->add_svids();
  svid->set_svid(request->audience(0));
  svid->set_spiffe_id(who(*call));
  return grpc::Status::OK;
}

grpc::Status FakeEchoService::FetchX509Bundles(grpc::ServerContext*, const X509BundlesRequest*,
                                               grpc::ServerWriter<X509BundlesResponse>* writer) {
  X509BundlesResponse message;
  message.add_crl(std::string(streamed_size_bytes, 'x'));
  while (writer->Write(message)) {
    absl::MutexLock lock(&mutex_);
    ++messages_streamed_;
  }
  absl::MutexLock lock(&mutex_);
  ++streams_ended_;
  return grpc::Status::CANCELLED;
}

grpc::Status FakeEchoService::FetchX509SVID(grpc::ServerContext* call, const X509SVIDRequest*,
                                            grpc::ServerWriter<X509SVIDResponse>* writer) {
  writer->Write(X509SVIDResponse());
  absl::MutexLock lock(&mutex_);
  mutex_.AwaitWithTimeout(absl::Condition(&released_), kPatience);
  who_at_end_ = who(*call);
  ++streams_ended_;
  return grpc::Status::OK;
}

void FakeEchoService::Release() {
  absl::MutexLock lock(&mutex_);
  released_ = true;
}

int FakeEchoService::streams_ended() const {
  absl::MutexLock lock(&mutex_);
  return streams_ended_;
}

bool FakeEchoService::AwaitStreamsEnded(int count) const {
  absl::MutexLock lock(&mutex_);
  const auto enough = [this, count]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return streams_ended_ >= count; };
  return mutex_.AwaitWithTimeout(absl::Condition(&enough), kPatience);
}

uint64_t FakeEchoService::messages_streamed() const {
  absl::MutexLock lock(&mutex_);
  return messages_streamed_;
}

std::string FakeEchoService::who_at_end() const {
  absl::MutexLock lock(&mutex_);
  return who_at_end_;
}

grpc::Status Echo(const std::shared_ptr<grpc::Channel>& channel, const std::string& text, std::string* echoed,
                  std::string* who) {
  const auto stub = SpiffeWorkloadAPI::NewStub(channel);
  grpc::ClientContext call;
  call.set_deadline(absl::ToChronoTime(absl::Now() + kPatience));
  JWTSVIDRequest request;
  request.add_audience(text);
  JWTSVIDResponse response;
  const grpc::Status status = stub->FetchJWTSVID(&call, request, &response);
  if (status.ok() && echoed != nullptr) *echoed = response.svids(0).svid();
  if (status.ok() && who != nullptr) *who = response.svids(0).spiffe_id();
  return status;
}

bool HoldUntilClosed(const std::shared_ptr<grpc::Channel>& channel) {
  const auto stub = SpiffeWorkloadAPI::NewStub(channel);
  grpc::ClientContext call;
  const auto held = stub->FetchX509SVID(&call, {});
  X509SVIDResponse message;
  const bool begun = held->Read(&message);
  if (begun) {
    EXPECT_FALSE(held->Read(&message));
  }
  EXPECT_EQ(held->Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
  return begun;
}

}  // namespace lanyard
