#include "proxy/control/fake_mesh_service.h"

#include <grpcpp/grpcpp.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <thread>
#include <utility>

namespace lanyard {

FakeMeshService::FakeMeshService(const std::string& path) : path_(path) {
  unlink(path_.c_str());
  grpc::ServerBuilder builder;
  builder.AddListeningPort("unix:" + path_, grpc::InsecureServerCredentials());
  builder.RegisterService(this);
  server_ = builder.BuildAndStart();
  if (server_ == nullptr) {
    fprintf(stderr, "FakeMeshService cannot listen on %s\n", path_.c_str());
    abort();
  }
}

FakeMeshService::~FakeMeshService() { Stop(); }

void FakeMeshService::Send(mesh::v1::View view) {
  absl::MutexLock lock(&mutex_);
  view_ = std::move(view);
  failure_ = grpc::Status::OK;
  ++sends_;
}

void FakeMeshService::Fail(grpc::StatusCode code, const std::string& message) {
  absl::MutexLock lock(&mutex_);
  failure_ = grpc::Status(code, message);
}

void FakeMeshService::Stop() {
  {
    absl::MutexLock lock(&mutex_);
    if (std::exchange(stopping_, true)) return;
  }
  server_->Shutdown(std::chrono::system_clock::now());
  server_->Wait();
  unlink(path_.c_str());
}

int FakeMeshService::streams_begun() const {
  absl::MutexLock lock(&mutex_);
  return streams_begun_;
}

std::vector<mesh::v1::ProxyStatus> FakeMeshService::statuses() const {
  absl::MutexLock lock(&mutex_);
  return statuses_;
}

bool FakeMeshService::WaitForStatus(const std::function<bool(const mesh::v1::ProxyStatus&)>& matches) const {
  absl::MutexLock lock(&mutex_);
  const auto there = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return std::any_of(statuses_.begin(), statuses_.end(), matches);
  };
  return mutex_.AwaitWithTimeout(absl::Condition(&there), absl::Seconds(20));
}

bool FakeMeshService::WaitForObserved(const std::function<bool(const mesh::v1::Observed&)>& matches) const {
  absl::MutexLock lock(&mutex_);
  const auto there = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return std::any_of(observed_.begin(), observed_.end(), matches);
  };
  return mutex_.AwaitWithTimeout(absl::Condition(&there), absl::Seconds(20));
}

std::vector<mesh::v1::Observed> FakeMeshService::observed() const {
  absl::MutexLock lock(&mutex_);
  return observed_;
}

grpc::Status FakeMeshService::Watch(grpc::ServerContext* call, Stream* stream) {
  const auto header = call->client_metadata().find("workload.spiffe.io");
  if (header == call->client_metadata().end() || header->second != "true") {
    return grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, "security header missing from request");
  }
  {
    absl::MutexLock lock(&mutex_);
    if (!failure_.ok()) {
      ++streams_begun_;
      return failure_;
    }
  }
  std::thread reader([this, stream] {
    mesh::v1::WatchRequest request;
    while (stream->Read(&request)) {
      absl::MutexLock lock(&mutex_);
      if (request.has_status()) statuses_.push_back(request.status());
      if (request.has_observed()) observed_.push_back(request.observed());
    }
  });
  grpc::Status end = Tell(call, stream);
  call->TryCancel();  // the reader waits for a client that may have nothing to say
  reader.join();
  return end;
}

grpc::Status FakeMeshService::Tell(grpc::ServerContext* call, Stream* stream) {
  absl::MutexLock lock(&mutex_);
  ++streams_begun_;
  uint64_t sent = 0;
  while (true) {
    const auto news = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
      return stopping_ || !failure_.ok() || sends_ != sent || call->IsCancelled();
    };
    // A cancelled call makes nobody signal the mutex: looked at now and then.
    mutex_.AwaitWithTimeout(absl::Condition(&news), absl::Milliseconds(20));
    if (!failure_.ok()) return failure_;
    if (stopping_ || call->IsCancelled()) return grpc::Status(grpc::StatusCode::UNAVAILABLE, "stopping");
    if (sends_ == sent) continue;
    sent = sends_;
    const mesh::v1::View copy = view_;
    mutex_.Unlock();
    const bool written = stream->Write(copy);
    mutex_.Lock();
    if (!written) return grpc::Status::CANCELLED;
  }
}

}  // namespace lanyard
