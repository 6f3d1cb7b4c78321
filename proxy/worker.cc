#include "proxy/worker.h"

#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <mutex>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "identity/base/logging.h"
#include "identity/base/random.h"
#include "identity/tls/client_sessions.h"
#include "proxy/connection/accepted_links.h"
#include "proxy/connection/acceptor.h"
#include "proxy/connection/connection.h"
#include "proxy/connection/departures.h"
#include "proxy/connection/dialer.h"
#include "proxy/connection/handshake_turns.h"
#include "proxy/connection/link_pool.h"
#include "proxy/connection/newcomers.h"
#include "proxy/connection/table.h"
#include "proxy/io/epoll_poller.h"

namespace lanyard {
namespace {

// Room for what a full buffer becomes when TLS seals it, with session tickets before it.
constexpr size_t kSealingRoomBytes = 16 << 10;
constexpr size_t kLeastBlockBytes = 32 << 10;
constexpr absl::Duration kSettleCheck = absl::Milliseconds(10);

WorkerContext ContextOf(EventLoop* loop) {
  WorkerContext context;
  context.loop = loop;
  return context;
}

size_t BlockBytes(const ConnectionLimits& limits) {
  return std::max<size_t>(limits.buffer_bytes, kLeastBlockBytes) + kSealingRoomBytes;
}

}  // namespace

// Constructed and destroyed without its thread; between, everything but the atomics and the
// loop's Post is the thread's.
struct Worker::State {
  State(std::unique_ptr<EventLoop> made, const ConnectionLimits& limits, std::shared_ptr<InboundPlaces> shared,
        std::shared_ptr<OwnSockets> own)
      : own_sockets(own != nullptr ? std::move(own) : std::make_shared<OwnSockets>()),
        loop(std::move(made)),
        context(ContextOf(loop.get())),
        pool(BlockBytes(limits)),
        places(std::move(shared)),
        close_log(loop.get()),
        limits_reached(loop.get(), &counters),
        buffer_budget(&pool, limits.max_buffered_bytes, limits.max_connections, [this] {
          limits_reached.Reached(Limit::kBufferedBytes, "receivers are slow; every stream is read a little at a time");
        }),
        resolver(loop.get()),
        dialer(loop.get(), own_sockets.get()),
        handshakes(loop.get()),
        table(loop.get()),
        links(&context),
        accepted_links(&context),
        departures(&context),
        newcomers(&context),
        settle(loop.get(), [this] { Settle(); }) {}

  void TakeView(std::shared_ptr<const MeshView> view) {
    const ViewChange change = CompareViews(context.view.get(), *view);
    context.view = std::move(view);
    counters.view_version.Set(context.view->version);
    links.OnViewChange(change);
    accepted_links.OnViewChange(change);
    newcomers.OnViewChange(change);
    table.Recheck(change, [this] { acknowledged.store(context.view->version, std::memory_order_release); });
  }

  void Drain(std::function<void()> when_settled) {
    on_idle = std::move(when_settled);
    acceptor->Drain();
    links.Drain();
    newcomers.Drain();
    departures.Drain();
    accepted_links.Drain();
    settle_by = absl::InfiniteDuration();
    Settle();
  }

  // An OPEN that crossed GOAWAY makes a connection of a link that seemed idle, so all of it is looked at again.
  void Settle() {
    if (table.size() > 0 || newcomers.coming() > 0) {
      settle_by = absl::InfiniteDuration();
    } else if (settle_by == absl::InfiniteDuration()) {
      settle_by = loop->now() + kLinkGrace;
    }
    const bool settled =
        table.size() == 0 && links.empty() && accepted_links.size() == 0 && newcomers.coming() == 0;
    if (!settled && loop->now() < settle_by) return settle.Start(kSettleCheck);
    if (on_idle) std::exchange(on_idle, nullptr)();
  }

  std::shared_ptr<OwnSockets> own_sockets;
  std::unique_ptr<EventLoop> loop;
  WorkerContext context;
  BufferPool pool;
  ConnectionCounters counters;
  std::shared_ptr<InboundPlaces> places;
  CloseLog close_log;
  LimitsReached limits_reached;
  BufferBudget buffer_budget;
  AccessLog own_access_log;  // unless there is one of the process
  ConnectionTap own_tap;     // likewise
  ObservedCalls observed;
  Resolver resolver;
  TcpDialer dialer;
  HandshakeTurns handshakes;
  ClientSessionCache sessions;
  ConnectionTable table;
  LinkPool links;
  AcceptedLinks accepted_links;
  Departures departures;
  Newcomers newcomers;
  std::unique_ptr<Acceptor> acceptor;
  std::vector<SocketAddress> addresses;
  std::vector<std::vector<int>> sockets;
  std::function<void()> on_idle;    // while draining
  absl::Duration settle_by;
  Timer settle;
  std::atomic<uint64_t> acknowledged{0};

  std::mutex mutex;                 // guards the three below
  std::thread thread;
  bool started = false;
  bool stopped = false;
};

absl::StatusOr<std::unique_ptr<Worker>> Worker::Create(Options options) {
  absl::StatusOr<std::unique_ptr<EpollPoller>> poller = EpollPoller::Create();
  if (!poller.ok()) return poller.status();
  absl::StatusOr<std::unique_ptr<EventLoop>> loop = EventLoop::Create(*std::move(poller), options.clock);
  if (!loop.ok()) return loop.status();
  if (options.places == nullptr) {
    options.places = std::make_shared<InboundPlaces>(options.limits.max_connections_per_peer,
                                                     options.limits.max_connections_per_source);
  }
  auto state = std::make_unique<State>(*std::move(loop), options.limits, std::move(options.places),
                                       std::move(options.own_sockets));
  WorkerContext& context = state->context;
  context.worker = options.index;
  context.pool = &state->pool;
  context.table = &state->table;
  context.counters = &state->counters;
  context.close_log = &state->close_log;
  context.limits_reached = &state->limits_reached;
  context.buffer_budget = &state->buffer_budget;
  context.places = state->places.get();
  context.access_log = options.access_log != nullptr ? options.access_log : &state->own_access_log;
  context.tap = options.tap != nullptr ? options.tap : &state->own_tap;
  context.observed = &state->observed;
  state->close_log.Sample(options.access_log_sample_ok, options.access_log_max_per_second, &SystemRandom());
  context.dialer = &state->dialer;
  context.own_sockets = state->own_sockets.get();
  context.resolver = &state->resolver;
  context.sessions = &state->sessions;
  context.links = &state->links;
  context.accepted_links = &state->accepted_links;
  context.handshakes = &state->handshakes;
  context.departures = &state->departures;
  context.newcomers = &state->newcomers;
  context.random = &SystemRandom();
  context.limits = options.limits;
  absl::StatusOr<std::unique_ptr<Acceptor>> acceptor =
      Acceptor::Bind(&context, std::move(options.listeners), std::move(options.sockets));
  if (!acceptor.ok()) return acceptor.status();
  state->acceptor = *std::move(acceptor);
  context.acceptor = state->acceptor.get();
  state->addresses = state->acceptor->addresses();
  state->sockets = state->acceptor->sockets();
  return std::unique_ptr<Worker>(new Worker(std::move(state)));
}

Worker::Worker(std::unique_ptr<State> state) : state_(std::move(state)) {}

Worker::~Worker() { Stop(); }

void Worker::Start() {
  StartAccepting();
  StartWithoutAccepting();
}

// Behind the first view, which was posted before.
void Worker::StartAccepting() {
  state_->loop->Post([state = state_.get()] {
    const absl::Status started = state->acceptor->Start();
    if (!started.ok()) Log(LogLevel::kError, "a worker does not accept", {{"error", started}});
  });
}

void Worker::StartWithoutAccepting() {
  std::lock_guard<std::mutex> lock(state_->mutex);
  if (std::exchange(state_->started, true) || state_->stopped) return;
  state_->thread = std::thread([state = state_.get()] {
    pthread_setname_np(pthread_self(), absl::StrCat("worker-", state->context.worker).c_str());
    state->loop->Run();
  });
}

void Worker::SetSiblings(const std::vector<Worker*>& workers) {
  std::vector<State*> states;
  for (const Worker* worker : workers) states.push_back(worker->state_.get());
  state_->context.workers = states.size();
  state_->context.post_to = [states](uint32_t worker, std::function<void(WorkerContext&)> task) {
    if (worker >= states.size()) return false;
    State* const other = states[worker];
    other->loop->Post([other, task = std::move(task)] { task(other->context); });
    return true;
  };
}

void Worker::MoveStreamsTo(UniqueFd passage) {
  state_->loop->Post([state = state_.get(), fd = std::make_shared<UniqueFd>(std::move(passage))] {
    state->departures.line().Open(std::move(*fd));
  });
}

void Worker::TakeStreamsFrom(UniqueFd passage) {
  state_->loop->Post([state = state_.get(), fd = std::make_shared<UniqueFd>(std::move(passage))] {
    state->newcomers.line().Open(std::move(*fd));
  });
}

void Worker::Publish(std::shared_ptr<const MeshView> view) {
  state_->loop->Post([state = state_.get(), view = std::move(view)]() mutable { state->TakeView(std::move(view)); });
}

uint64_t Worker::acknowledged_version() const { return state_->acknowledged.load(std::memory_order_acquire); }

void Worker::Drain(std::function<void()> on_idle) {
  state_->loop->Post([state = state_.get(), on_idle = std::move(on_idle)]() mutable {
    state->Drain(std::move(on_idle));
  });
}

void Worker::Stop() {
  std::lock_guard<std::mutex> lock(state_->mutex);
  if (std::exchange(state_->stopped, true)) return;
  if (state_->started) {
    state_->loop->Post([state = state_.get()] {
      state->acceptor->Close();
      state->table.CloseAll();
      state->departures.line().Flush();
      state->departures.line().Stop();
      state->newcomers.line().Stop();
    });
    state_->loop->Stop();
    state_->thread.join();
  }
  state_->acceptor->Close();
  state_->loop->RunOnce(absl::ZeroDuration());  // what was posted behind the end is still owed an answer
}

WorkerCounters Worker::Counters() const {
  WorkerCounters shot = state_->counters.Snapshot();
  shot.access_log_sampled_out = state_->close_log.sampled_out().value();
  shot.access_log_left_out = state_->close_log.left_out().value();
  shot.observed_forgotten = state_->observed.forgotten();
  return shot;
}

void Worker::ListConnections(std::function<void(std::vector<ConnectionRecord>)> done) {
  std::unique_lock<std::mutex> lock(state_->mutex);
  if (!state_->started || state_->stopped) {
    lock.unlock();
    return done({});
  }
  state_->loop->Post([state = state_.get(), done = std::move(done)] { done(state->table.List()); });
}

void Worker::ListObserved(std::function<void(std::vector<ObservedCall>)> done) {
  std::unique_lock<std::mutex> lock(state_->mutex);
  if (!state_->started || state_->stopped) {
    lock.unlock();
    return done({});
  }
  state_->loop->Post([state = state_.get(), done = std::move(done)] { done(state->observed.List()); });
}

std::vector<SocketAddress> Worker::BoundAddresses() const { return state_->addresses; }

const std::vector<std::vector<int>>& Worker::Sockets() const { return state_->sockets; }

}  // namespace lanyard
