#include "proxy/control/mesh_client.h"

#include <grpcpp/alarm.h>
#include <grpcpp/grpcpp.h>

#include <thread>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "api/lanyard/mesh/mesh.grpc.pb.h"
#include "identity/base/random.h"
#include "proxy/control/mesh_view_proto.h"

namespace lanyard {
namespace {

namespace pb = ::lanyard::mesh::v1;

// Above the five minutes that other implementations' servers take for abuse.
constexpr int kKeepaliveTimeMs = 6 * 60 * 1000;

enum class Event : intptr_t { kStarted = 1, kRead, kWritten, kFinished, kWoken, kRested };

void* Tag(Event event) { return reinterpret_cast<void*>(event); }

gpr_timespec After(absl::Duration wait) {
  if (wait == absl::InfiniteDuration()) return gpr_inf_future(GPR_CLOCK_MONOTONIC);
  return gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_nanos(absl::ToInt64Nanoseconds(wait), GPR_TIMESPAN));
}

std::shared_ptr<grpc::Channel> NewChannel(const std::string& target) {
  grpc::ChannelArguments arguments;
  // A connection of this stream's own: gRPC's shared ones keep their own back-off beside ours.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveTimeMs);
  arguments.SetString(GRPC_ARG_DEFAULT_AUTHORITY, "localhost");
  arguments.SetMaxReceiveMessageSize(kMaxViewBytes);
  return grpc::CreateCustomChannel(target, grpc::InsecureChannelCredentials(), arguments);
}

// The codes are the same by definition. A server that simply ends its stream leaves us without news.
absl::Status ToAbsl(const grpc::Status& status) {
  if (status.ok()) return absl::UnavailableError("the agent ended the stream");
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
}

}  // namespace

struct MeshClient::State {
  State(std::string address_in, Callbacks callbacks_in, Options options_in)
      : address(std::move(address_in)),
        callbacks(std::move(callbacks_in)),
        options(options_in),
        backoff(options.backoff, SystemRandom()) {}

  class Stream;
  void Run();
  void Wait(absl::Duration wait);
  void Wake() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);

  const std::string address;
  const Callbacks callbacks;
  const Options options;
  Backoff backoff;  // the client's thread only
  grpc::CompletionQueue queue;
  grpc::Alarm alarm;
  absl::Mutex mutex;
  bool stopping ABSL_GUARDED_BY(mutex) = false;
  bool woken ABSL_GUARDED_BY(mutex) = false;  // an alarm is on its way
  // Those of the client's thread: a request may be written when the other alarm has come.
  grpc::Alarm rest;
  bool resting = false;
  ProxyStatus status ABSL_GUARDED_BY(mutex);
  bool unsent ABSL_GUARDED_BY(mutex) = false;
  std::shared_ptr<const ObservedReport> observed ABSL_GUARDED_BY(mutex);  // null: none yet
  bool observed_unsent ABSL_GUARDED_BY(mutex) = false;
  grpc::ClientContext* running ABSL_GUARDED_BY(mutex) = nullptr;
  std::thread thread;
};

// One stream, from its start to its end. On the client's thread.
class MeshClient::State::Stream {
 public:
  explicit Stream(State& state) : state_(state), stub_(pb::MeshService::NewStub(NewChannel(state.address))) {
    context_.AddMetadata("workload.spiffe.io", "true");
    absl::MutexLock lock(&state_.mutex);
    state_.running = &context_;
    state_.unsent = true;
    state_.observed_unsent = state_.observed != nullptr;
    if (state_.stopping) context_.TryCancel();
  }
  ~Stream() {
    absl::MutexLock lock(&state_.mutex);
    state_.running = nullptr;
  }

  absl::Status Run() {
    call_ = stub_->AsyncWatch(&context_, &state_.queue, Tag(Event::kStarted));
    int under_way = 1;
    bool finished = false;
    void* tag = nullptr;
    bool ok = false;
    while ((!finished || under_way > 0) && state_.queue.Next(&tag, &ok)) {
      const auto event = static_cast<Event>(reinterpret_cast<intptr_t>(tag));
      if (event != Event::kWoken && event != Event::kRested) --under_way;
      finished = finished || event == Event::kFinished;
      under_way += React(event, ok);
    }
    return ToAbsl(end_);
  }

 private:
  // How many operations it began.
  int React(Event event, bool ok) {
    switch (event) {
      case Event::kStarted:
        if (!ok) return Finish();
        open_ = true;
        call_->Read(&view_, Tag(Event::kRead));
        return 1 + Write();
      case Event::kRead:
        if (!ok) return Finish();
        Deliver();
        call_->Read(&view_, Tag(Event::kRead));
        return 1 + Write();
      case Event::kWritten:
        writing_ = false;
        return ok ? Write() : 0;  // a broken stream is seen by its reading, too
      case Event::kRested:
        state_.resting = false;
        break;
      case Event::kWoken: {
        absl::MutexLock lock(&state_.mutex);
        state_.woken = false;
        break;
      }
      case Event::kFinished:
        return 0;
    }
    return Write();
  }

  int Finish() {
    open_ = false;
    call_->Finish(&end_, Tag(Event::kFinished));
    return 1;
  }

  int Write() {
    if (!open_ || writing_ || state_.resting) return 0;
    request_.Clear();
    std::shared_ptr<const ObservedReport> observed;
    {
      absl::MutexLock lock(&state_.mutex);
      if (std::exchange(state_.unsent, false)) *request_.mutable_status() = ToProto(state_.status);
      if (wants_observed_ && std::exchange(state_.observed_unsent, false)) observed = state_.observed;
    }
    if (observed != nullptr) *request_.mutable_observed() = ToProto(*observed);
    if (!request_.has_status() && !request_.has_observed()) return 0;
    writing_ = true;
    call_->Write(request_, Tag(Event::kWritten));
    state_.resting = true;
    state_.rest.Set(&state_.queue, After(state_.options.request_interval), Tag(Event::kRested));
    return 1;
  }

  void Deliver() {
    state_.backoff.Reset();
    wants_observed_ = view_.wants_observed();
    absl::StatusOr<std::shared_ptr<const MeshUpdate>> update = ReadView(view_);
    if (update.ok()) {
      state_.callbacks.on_view(*std::move(update));
    } else {
      state_.callbacks.on_refused(view_.version(), update.status());
    }
  }

  State& state_;
  const std::unique_ptr<pb::MeshService::Stub> stub_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientAsyncReaderWriter<pb::WatchRequest, pb::View>> call_;
  pb::View view_;
  pb::WatchRequest request_;
  grpc::Status end_;
  bool open_ = false, writing_ = false, wants_observed_ = false;
};

void MeshClient::State::Run() {
  const auto stopped = [this] {
    absl::MutexLock lock(&mutex);
    return stopping;
  };
  while (!stopped()) {
    const absl::Status end = Stream(*this).Run();
    if (stopped()) return;
    const absl::Duration wait = absl::IsUnimplemented(end) ? options.unimplemented_wait : backoff.Next();
    callbacks.on_ended(end, wait);
    Wait(wait);
  }
}

void MeshClient::State::Wait(absl::Duration wait) {
  const gpr_timespec deadline = After(wait);
  void* tag = nullptr;
  bool ok = false;
  while (queue.AsyncNext(&tag, &ok, deadline) == grpc::CompletionQueue::GOT_EVENT) {
    if (tag == Tag(Event::kRested)) {
      resting = false;
      continue;
    }
    absl::MutexLock lock(&mutex);
    woken = false;
    if (stopping) return;
  }
}

void MeshClient::State::Wake() {
  if (std::exchange(woken, true)) return;
  alarm.Set(&queue, gpr_now(GPR_CLOCK_MONOTONIC), Tag(Event::kWoken));
}

MeshClient::MeshClient(std::string address, Callbacks callbacks, Options options)
    : state_(std::make_unique<State>(std::move(address), std::move(callbacks), options)) {
  state_->thread = std::thread([state = state_.get()] { state->Run(); });
}

MeshClient::~MeshClient() {
  {
    absl::MutexLock lock(&state_->mutex);
    state_->stopping = true;
    if (state_->running != nullptr) state_->running->TryCancel();
    state_->Wake();
  }
  state_->thread.join();
  state_->rest.Cancel();
  state_->queue.Shutdown();
  void* tag = nullptr;
  bool ok = false;
  while (state_->queue.Next(&tag, &ok)) {
  }
}

void MeshClient::Report(const ProxyStatus& status) {
  absl::MutexLock lock(&state_->mutex);
  if (state_->status == status) return;
  state_->status = status;
  state_->unsent = true;
  state_->Wake();
}

void MeshClient::Report(std::shared_ptr<const ObservedReport> observed) {
  absl::MutexLock lock(&state_->mutex);
  state_->observed = std::move(observed);
  state_->observed_unsent = true;
  state_->Wake();
}

}  // namespace lanyard
