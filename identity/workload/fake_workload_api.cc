#include "identity/workload/fake_workload_api.h"

#include <grpcpp/grpcpp.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <utility>

namespace lanyard {

FakeWorkloadApi::FakeWorkloadApi(const std::string& path) : path_(path) {
  unlink(path_.c_str());
  grpc::ServerBuilder builder;
  builder.AddListeningPort("unix:" + path_, grpc::InsecureServerCredentials());
  builder.RegisterService(this);
  server_ = builder.BuildAndStart();
  if (server_ == nullptr) {
    fprintf(stderr, "FakeWorkloadApi cannot listen on %s\n", path_.c_str());
    abort();
  }
}

FakeWorkloadApi::~FakeWorkloadApi() { Stop(); }

void FakeWorkloadApi::Send(X509SVIDResponse response) {
  absl::MutexLock lock(&mutex_);
  response_ = std::move(response);
  has_response_ = true;
  failure_ = grpc::Status::OK;
  ++version_;
}

void FakeWorkloadApi::Fail(grpc::StatusCode code, const std::string& message) {
  absl::MutexLock lock(&mutex_);
  failure_ = grpc::Status(code, message);
}

void FakeWorkloadApi::DropStreams() {
  absl::MutexLock lock(&mutex_);
  ++drops_;
}

void FakeWorkloadApi::Stop() {
  {
    absl::MutexLock lock(&mutex_);
    if (std::exchange(stopping_, true)) return;
  }
  server_->Shutdown(std::chrono::system_clock::now());
  server_->Wait();
  unlink(path_.c_str());
}

int FakeWorkloadApi::streams_begun() const {
  absl::MutexLock lock(&mutex_);
  return streams_begun_;
}

X509SVIDResponse FakeWorkloadApi::ResponseFor(const FakeLeaf& leaf, const FakeCa& ca) {
  X509SVIDResponse response;
  X509SVID* svid = response.add_svids();
  const X509Svid value = leaf.Svid();
  svid->set_spiffe_id(value.id().ToString());
  svid->set_x509_svid(value.ChainDer());
  const Secret key = value.key().ExportPkcs8Der();
  svid->set_x509_svid_key(std::string(key.text()));
  svid->set_bundle(ca.Bundle().ToConcatenatedDer());
  return response;
}

grpc::Status FakeWorkloadApi::FetchX509SVID(grpc::ServerContext* call, const X509SVIDRequest*,
                                            grpc::ServerWriter<X509SVIDResponse>* writer) {
  const auto header = call->client_metadata().find("workload.spiffe.io");
  if (header == call->client_metadata().end() || header->second != "true") {
    return grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, "security header missing from request");
  }
  absl::MutexLock lock(&mutex_);
  ++streams_begun_;
  const uint64_t drops = drops_;
  uint64_t sent = 0;
  while (true) {
    const auto news = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
      return stopping_ || !failure_.ok() || drops_ != drops || (has_response_ && version_ != sent) ||
             call->IsCancelled();
    };
    // A cancelled call makes nobody signal the mutex: looked at now and then.
    mutex_.AwaitWithTimeout(absl::Condition(&news), absl::Milliseconds(20));
    if (!failure_.ok()) return failure_;
    if (stopping_ || call->IsCancelled()) return grpc::Status(grpc::StatusCode::UNAVAILABLE, "stopping");
    if (drops_ != drops) return grpc::Status(grpc::StatusCode::UNAVAILABLE, "dropped");
    if (!has_response_ || version_ == sent) continue;
    sent = version_;
    const X509SVIDResponse copy = response_;
    mutex_.Unlock();
    const bool written = writer->Write(copy);
    mutex_.Lock();
    if (!written) return grpc::Status::CANCELLED;
  }
}

}  // namespace lanyard
