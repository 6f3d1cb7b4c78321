#include "identity/workload/watch.h"

#include <thread>
#include <utility>

#include "absl/synchronization/mutex.h"
#include "identity/base/bell.h"
#include "identity/base/random.h"
#include "identity/workload/endpoint_address.h"
#include "identity/workload/workload_client.h"

namespace lanyard {

absl::StatusOr<std::string> WorkloadApiAddress(const std::string& configured, const std::string& environment) {
  if (configured.empty() && environment.empty()) {
    return absl::InvalidArgumentError(
        "no Workload API is named: set identity.workload_api in the configuration or SPIFFE_ENDPOINT_SOCKET in the "
        "environment, as in unix:///run/lanyard/agent.sock");
  }
  return GrpcTargetOf(configured.empty() ? environment : configured);
}

struct WorkloadWatch::State {
  State(std::string address_in, Callbacks callbacks_in, BackoffOptions options)
      : address(std::move(address_in)), callbacks(std::move(callbacks_in)), backoff(options, SystemRandom()) {}

  void Run();
  // Null: stopping.
  WorkloadStream* OpenStream();
  // Until the stream ends: why it did.
  absl::Status ReadStream(WorkloadStream& current);
  // False: stopping.
  bool Wait(absl::Duration wait);

  const std::string address;
  const Callbacks callbacks;
  Backoff backoff;                                                 // the watch's thread only
  absl::Mutex mutex;
  Bell changed;
  bool stopping ABSL_GUARDED_BY(mutex) = false;
  std::unique_ptr<WorkloadStream> stream ABSL_GUARDED_BY(mutex);   // replaced by the watch's thread only
  std::thread thread;
};

WorkloadStream* WorkloadWatch::State::OpenStream() {
  absl::MutexLock lock(&mutex);
  if (stopping) return nullptr;
  stream = WorkloadStream::Open(address, std::nullopt);
  return stream.get();
}

absl::Status WorkloadWatch::State::ReadStream(WorkloadStream& current) {
  while (true) {
    absl::StatusOr<WorkloadIdentity> identity = current.Next();
    if (identity.ok()) {
      backoff.Reset();
      callbacks.on_identity(*std::move(identity));
    } else if (current.ended()) {
      return identity.status();
    } else {
      callbacks.on_error(identity.status(), absl::ZeroDuration());
    }
  }
}

bool WorkloadWatch::State::Wait(absl::Duration wait) {
  absl::MutexLock lock(&mutex);
  return !changed.AwaitFor(mutex, wait, [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) { return stopping; });
}

void WorkloadWatch::State::Run() {
  while (WorkloadStream* current = OpenStream()) {
    const absl::Status end = ReadStream(*current);
    {
      absl::MutexLock lock(&mutex);
      if (stopping) return;
    }
    // Workload Endpoint section 6: asking the same wrong question again gets the same answer.
    const absl::Duration wait = absl::IsInvalidArgument(end) ? absl::InfiniteDuration() : backoff.Next();
    callbacks.on_error(end, wait);
    if (!Wait(wait)) return;
  }
}

WorkloadWatch::WorkloadWatch(std::string address, Callbacks callbacks, BackoffOptions backoff)
    : state_(std::make_unique<State>(std::move(address), std::move(callbacks), backoff)) {
  state_->thread = std::thread([state = state_.get()] { state->Run(); });
}

WorkloadWatch::~WorkloadWatch() {
  {
    absl::MutexLock lock(&state_->mutex);
    state_->stopping = true;
    state_->changed.Ring();
    if (state_->stream != nullptr) state_->stream->Cancel();
  }
  state_->thread.join();
}

absl::StatusOr<WorkloadIdentity> FetchWorkloadIdentity(const std::string& address, absl::Duration timeout) {
  return WorkloadStream::Open(address, timeout)->Next();
}

}  // namespace lanyard
