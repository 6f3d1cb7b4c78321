// What the connections of one worker share.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "identity/base/random.h"
#include "identity/tls/client_sessions.h"
#include "proxy/connection/access_log.h"
#include "proxy/connection/buffer_budget.h"
#include "proxy/connection/close_log.h"
#include "proxy/connection/counters.h"
#include "proxy/connection/dialer.h"
#include "proxy/connection/limits_reached.h"
#include "proxy/connection/observed_calls.h"
#include "proxy/connection/places.h"
#include "proxy/io/buffer_pool.h"
#include "proxy/io/event_loop.h"
#include "proxy/io/own_sockets.h"
#include "proxy/io/resolver.h"
#include "proxy/mesh/connection_tap.h"
#include "proxy/mesh/mesh_view.h"

namespace lanyard {

class AcceptedLinks;
class Acceptor;
class ConnectionTable;
class Departures;
class HandshakeTurns;
class LinkPool;
class Newcomers;

// Outlives the connections; for the worker's thread.
struct WorkerContext {
  int worker = 0;
  uint64_t workers = 1;                   // of this process
  EventLoop* loop = nullptr;
  BufferPool* pool = nullptr;
  ConnectionTable* table = nullptr;
  ConnectionCounters* counters = nullptr;
  CloseLog* close_log = nullptr;
  LimitsReached* limits_reached = nullptr;
  BufferBudget* buffer_budget = nullptr;
  InboundPlaces* places = nullptr;        // of the process
  AccessLog* access_log = nullptr;   // of the process
  ConnectionTap* tap = nullptr;      // likewise
  ObservedCalls* observed = nullptr;
  Dialer* dialer = nullptr;
  OwnSockets* own_sockets = nullptr;
  Resolver* resolver = nullptr;
  ClientSessionCache* sessions = nullptr;
  LinkPool* links = nullptr;
  AcceptedLinks* accepted_links = nullptr;
  Acceptor* acceptor = nullptr;
  Departures* departures = nullptr;       // null: no stream leaves for another process
  Newcomers* newcomers = nullptr;         // null: none comes from one
  bool streams_come = false;              // from the process before, which is there; they need handshakes too
  HandshakeTurns* handshakes = nullptr;
  Random* random = nullptr;
  ConnectionLimits limits;
  std::shared_ptr<const MeshView> view;   // in force; replaced between two events
  // Runs a task on another worker of this process; false if there is no such worker. Empty: there is no other.
  std::function<bool(uint32_t worker, std::function<void(WorkerContext&)> task)> post_to;
};

}  // namespace lanyard
