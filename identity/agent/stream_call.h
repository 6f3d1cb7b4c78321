// One open call on the agent's socket, as gRPC's callbacks see it. Private to the agent's services.
#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "identity/agent/workload_streams.h"

namespace lanyard {

// The codes are the same numbers in both.
inline grpc::Status ToGrpc(const absl::Status& status) {
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), std::string(status.message()));
}

// Workload Endpoint section 6: without "workload.spiffe.io: true" a confused deputy might have been made to ask.
inline grpc::Status CheckSecurityHeader(const grpc::ServerContextBase& context) {
  constexpr char kSecurityHeader[] = "workload.spiffe.io";
  const auto [begin, end] = context.client_metadata().equal_range(kSecurityHeader);
  bool present = begin != end;
  for (auto header = begin; header != end; ++header) present = present && header->second == "true";
  if (present) return grpc::Status::OK;
  return {grpc::StatusCode::INVALID_ARGUMENT, "the metadata \"workload.spiffe.io: true\" is missing"};
}

// gRPC's reactions and the deciding thread's orders meet here; at most one write is under way, and only the newest
// answer waits behind it. No lock is held while gRPC is called, as it may call back at once. `Reactor` is one of
// gRPC's that write `Response`.
template <typename Reactor, typename Response>
class StreamCall : public Reactor, public WorkloadCall {
 public:
  explicit StreamCall(WorkloadStreams& streams) : streams_(streams) {}

  // `call` has just been made, and gRPC gets it next.
  static void Begin(std::shared_ptr<StreamCall> call, WorkloadStreams::Kind kind,
                    std::shared_ptr<const LocalPeer> peer) {
    StreamCall* const borrowed = call.get();
    borrowed->self_ = call;
    const absl::StatusOr<uint64_t> id = borrowed->streams_.Add(kind, std::move(peer), std::move(call));
    // OnDone cannot come before the handler has returned: `id_` needs no lock.
    if (id.ok()) {
      borrowed->id_ = *id;
    } else {
      borrowed->End(id.status());
    }
  }

  void Send(std::shared_ptr<const StreamAnswer> answer) override {
    {
      absl::MutexLock lock(&mutex_);
      if (end_.has_value()) return;
      if (writing_) {
        waiting_ = std::move(answer);
        return;
      }
      writing_ = true;
    }
    Write(*answer);
  }

  void End(const absl::Status& status) override { FinishWith(ToGrpc(status)); }

  void OnWriteDone(bool ok) override {
    Forget(message_);
    std::shared_ptr<const StreamAnswer> next;
    {
      absl::MutexLock lock(&mutex_);
      if (!ok && !end_.has_value()) end_ = grpc::Status(grpc::StatusCode::CANCELLED, "the client went away");
      if (!end_.has_value()) next = std::exchange(waiting_, nullptr);
      writing_ = next != nullptr;
      if (next == nullptr && (!end_.has_value() || holds_ > 0)) return;
    }
    if (next != nullptr) return Write(*next);
    FinishNow();
  }

  void OnCancel() override { FinishWith(grpc::Status::CANCELLED); }

  void OnDone() override {
    Gone();
    streams_.Remove(id_);
    self_.reset();  // the last of this object, unless the deciding thread is at it
  }

 protected:
  // Which of its identities the caller shows.
  void Shows(SpiffeId spiffe_id) { streams_.Shows(id_, std::move(spiffe_id)); }

  virtual void Fill(const StreamAnswer& answer, Response& response) = 0;
  virtual void Forget(Response& response) { response.Clear(); }
  virtual void Gone() {}  // the call is over

  // Between the two the call is not finished, though its end may be decided: gRPC may be called from outside of its
  // reactions. False, and no Release is to follow, when the end is decided already.
  bool Hold() {
    absl::MutexLock lock(&mutex_);
    if (end_.has_value()) return false;
    ++holds_;
    return true;
  }
  // May finish the call, and so destroy it.
  void Release() {
    {
      absl::MutexLock lock(&mutex_);
      if (--holds_ > 0 || writing_ || !end_.has_value()) return;
    }
    FinishNow();
  }

 private:
  void Write(const StreamAnswer& answer) {
    Fill(answer, message_);
    this->StartWrite(&message_);
  }

  void FinishWith(grpc::Status status) {
    {
      absl::MutexLock lock(&mutex_);
      if (end_.has_value()) return;
      end_ = std::move(status);
      waiting_ = nullptr;
      if (writing_ || holds_ > 0) return;  // OnWriteDone or Release finishes
    }
    FinishNow();
  }

  void FinishNow() {
    grpc::Status status;
    {
      absl::MutexLock lock(&mutex_);
      status = *end_;
    }
    Reactor::Finish(std::move(status));
  }

  WorkloadStreams& streams_;
  uint64_t id_ = 0;
  std::shared_ptr<StreamCall> self_;  // gRPC borrows this object until OnDone
  Response message_;                  // of whoever set writing_
  absl::Mutex mutex_;
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  int holds_ ABSL_GUARDED_BY(mutex_) = 0;
  std::shared_ptr<const StreamAnswer> waiting_ ABSL_GUARDED_BY(mutex_);
  std::optional<grpc::Status> end_ ABSL_GUARDED_BY(mutex_);
};

// A call that is refused before it has anything to do with a stream.
template <typename Reactor>
class RefusedCall : public Reactor {
 public:
  explicit RefusedCall(grpc::Status status) { this->Finish(std::move(status)); }
  void OnDone() override { delete this; }
};

}  // namespace lanyard
