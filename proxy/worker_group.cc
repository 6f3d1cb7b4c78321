#include "proxy/worker_group.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "proxy/connection/places.h"
#include "proxy/io/address_in_use.h"
#include "proxy/io/own_sockets.h"

namespace lanyard {
namespace {

// By worker and listener: the sockets of the process before this one. A listener that it did not have is opened anew.
using InheritedSockets = std::vector<std::vector<std::vector<UniqueFd>>>;

absl::StatusOr<InheritedSockets> Inherit(const ProxySettings& settings, TakeOver* take_over) {
  InheritedSockets inherited(settings.workers);
  for (auto& worker : inherited) worker.resize(settings.listeners.size());
  for (size_t i = 0; i < settings.listeners.size(); ++i) {
    const ListenerSpec& spec = settings.listeners[i];
    std::vector<UniqueFd> sockets;
    if (take_over != nullptr) sockets = take_over->Take(kListenerSocket, spec.name, spec.address.ToString());
    if (sockets.empty()) {
      const absl::Status free = CheckAddressFree(spec.address);
      if (!free.ok()) return absl::Status(free.code(), absl::StrCat("listener ", spec.name, ": ", free.message()));
    }
    auto dealt = DealSockets(std::move(sockets), inherited.size());
    for (size_t worker = 0; worker < dealt.size(); ++worker) inherited[worker][i] = std::move(dealt[worker]);
  }
  return inherited;
}

}  // namespace

absl::StatusOr<Workers> CreateWorkers(const ProxySettings& settings, const Clock& clock, Accounts& accounts,
                                      TakeOver* take_over) {
  absl::StatusOr<InheritedSockets> inherited = Inherit(settings, take_over);
  if (!inherited.ok()) return inherited.status();
  const auto places = std::make_shared<InboundPlaces>(settings.limits.max_connections_per_peer,
                                                      settings.limits.max_connections_per_source);
  const auto own_sockets = std::make_shared<OwnSockets>();
  Workers workers;
  std::vector<ListenerSpec> specs = settings.listeners;
  for (int index = 0; index < settings.workers; ++index) {
    absl::StatusOr<std::unique_ptr<Worker>> worker =
        Worker::Create({.index = index,
                        .listeners = specs,
                        .sockets = std::move((*inherited)[index]),
                        .limits = WorkerLimits(settings.limits, settings.workers),
                        .clock = &clock,
                        .places = places,
                        .own_sockets = own_sockets,
                        .access_log = accounts.access_log.get(),
                        .access_log_sample_ok = settings.access_log.sample_ok,
                        .access_log_max_per_second = settings.access_log.max_ordinary_per_second,
                        .tap = &accounts.tap});
    if (!worker.ok()) return worker.status();
    const std::vector<SocketAddress> bound = (*worker)->BoundAddresses();
    for (size_t i = 0; i < specs.size(); ++i) specs[i].address = bound[i];
    workers.push_back(std::make_unique<PublishedWorker>(*std::move(worker)));
  }
  std::vector<Worker*> siblings;
  for (const auto& worker : workers) siblings.push_back(&worker->worker());
  for (Worker* worker : siblings) worker->SetSiblings(siblings);
  return workers;
}

uint64_t CountOpen(const Workers& workers) {
  uint64_t open = 0;
  for (const auto& worker : workers) {
    const WorkerCounters counters = worker->Counters();
    open += counters.open_inbound + counters.open_outbound;
  }
  return open;
}

std::vector<HandedSocket> ListeningSockets(const ProxySettings& settings, const Workers& workers) {
  std::vector<HandedSocket> listening;
  for (const auto& worker : workers) {
    const std::vector<std::vector<int>>& sockets = worker->worker().Sockets();
    for (size_t i = 0; i < sockets.size(); ++i) {
      const ListenerSpec& spec = settings.listeners[i];
      for (const int fd : sockets[i]) listening.push_back({kListenerSocket, spec.name, spec.address.ToString(), fd});
    }
  }
  return listening;
}

std::vector<WorkerHandle*> Handles(const Workers& workers) {
  std::vector<WorkerHandle*> handles;
  for (const auto& worker : workers) handles.push_back(worker.get());
  return handles;
}

void StopAll(const Workers& workers) {
  for (auto worker = workers.rbegin(); worker != workers.rend(); ++worker) (*worker)->worker().Stop();
}

}  // namespace lanyard
