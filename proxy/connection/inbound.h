// A call to this workload: mutual TLS from the mesh, or plaintext where a policy allows it.
#pragma once

#include <string>

#include "proxy/connection/client_hello.h"
#include "proxy/connection/connection.h"

namespace lanyard {

class InboundConnection : public Connection {
 public:
  // The connection owns itself from here on; it may be gone when Start returns.
  static void Start(WorkerContext* context, Arrival arrival);

  // For a stream that the peer opened on a link, which has a LinkOrigin.
  static void StartStream(WorkerContext* context, std::unique_ptr<Link> link, const OpenRequest& request);

  // For one that another process had, and carried over to `link`; `application` is the workload's side, `place` the
  // peer's for it.
  static void Resume(WorkerContext* context, Arrival arrival, std::unique_ptr<Link> link, const StreamState& state,
                     const OpenRequest& request, std::unique_ptr<Stream> application, Place place);

  void Recheck() override;
  // The peer wants its stream carried over to this link.
  void Attach(std::unique_ptr<Link> link);
  // The peer proves anew, by this link, that the stream is its own. OK: believed, and still allowed.
  absl::Status Vouch(const Link& link);

 private:
  InboundConnection(WorkerContext* context, Arrival arrival);

  PolicyDecision DecideNow() const;
  void OnArrived() override;
  void OnSniffable() override;
  void OnDeadline() override;
  // To be closed first where others need room; until it proves who it is, or is let in without.
  void EnterUnknown();
  void LeaveUnknown();
  void OnPlaintext();
  void OnHandshake() override;
  void OnConnected() override;
  void OnClose() override;
  void BeginStream(MeshStream* stream, const OpenRequest& request);
  void Decide();
  // The PROXY protocol header for the server; empty where it has none.
  std::string HeaderForServer() const;
  // By the rules in force, and the peer's share of places, if it has none of them yet; else it is closed.
  bool Admit();
  void GoOn(MeshStream* stream, const OpenRequest& request, std::unique_ptr<Stream> application);

  bool permissive_ = false;   // some rule may allow plaintext on this port
  NoAlpn without_alpn_ = NoAlpn::kIsNot;
  bool decided_ = false;
  bool answered_ = false;     // the opener of a stream
  RefuseReason refusal_ = RefuseReason::kNotAllowed;  // what it is told if it is never answered
  Place unknown_caller_;      // by its address, until it is known
  Place peer_place_;          // by its ID, from then on
  Buffer received_;           // the caller's first bytes, until somebody takes them
};

}  // namespace lanyard
