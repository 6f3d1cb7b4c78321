// A call that leaves this workload: plain TCP from the application, mutual TLS to the mesh.
#pragma once

#include <memory>

#include "proxy/connection/connection.h"
#include "proxy/connection/dial_turns.h"
#include "proxy/connection/link_inquiry.h"

namespace lanyard {

class OutboundConnection : public Connection {
 public:
  // The connection owns itself from here on; it may be gone when Start returns.
  static void Start(WorkerContext* context, Arrival arrival);

  // For a stream that another process had, and carried over to `link`; the arrival's is the application's side.
  static void Resume(WorkerContext* context, Arrival arrival, std::unique_ptr<Link> link, const StreamState& state);

  void Recheck() override;

 private:
  OutboundConnection(WorkerContext* context, Arrival arrival)
      : Connection(context, std::move(arrival), Flow::kOutbound) {}

  const Route& RouteNow() const;
  // Whether this peer may answer, by the route in force.
  absl::Status Expects(const VerifiedSvid& peer);
  void StartStream(std::unique_ptr<Link> link);
  void GoOn(std::unique_ptr<Link> link, const StreamState& state);
  // Its peer is authenticated anew from now on. False: it is banned, and the connection closed.
  bool Adopt(std::unique_ptr<MeshStream> stream);
  // A stream on a link that is idle, or a call in its turn.
  bool TookLink(bool again);
  void DialInTurn();
  void OnTurn();
  // Of a link from which nothing was heard for a while, whether its peer is still there.
  void Ask(std::unique_ptr<Link> link);
  void OnAsked(LinkInquiry::Answer answer);
  void OnArrived() override;
  void OnConnected() override;
  void OnHandshake() override;
  bool OnNoSharedProtocol() override;
  void OnClose() override;
  void OnDeadline() override {}  // it never sniffs

  std::unique_ptr<LinkInquiry> inquiry_;
  DialPlace place_;
  RouteAction action_ = RouteAction::kRefuse;
};

}  // namespace lanyard
