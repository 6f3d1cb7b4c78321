// A call that leaves this workload: plain TCP from the application, mutual TLS to the mesh.
#pragma once

#include "proxy/connection/connection.h"

namespace lanyard {

class OutboundConnection : public Connection {
 public:
  // The connection owns itself from here on; it may be gone when Start returns.
  static void Start(WorkerContext* context, Arrival arrival);

  void Recheck() override;

 private:
  OutboundConnection(WorkerContext* context, Arrival arrival)
      : Connection(context, std::move(arrival), Flow::kOutbound) {}

  const Route& RouteNow() const;
  // Whether this peer may answer, by the route in force.
  absl::Status Expects(const VerifiedSvid& peer);
  void StartStream(std::unique_ptr<Link> link);
  void Begin();
  void OnConnected() override;
  void OnHandshake() override;
  bool OnNoSharedProtocol() override;
  void OnDeadline() override {}  // it never sniffs

  RouteAction action_ = RouteAction::kRefuse;
};

}  // namespace lanyard
