// What inbound and outbound connections have in common: dialling, the handshake, the relay, the
// reasons they hang on, and their end. Their lives are told in inbound.cc and outbound.cc.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "identity/tls/tls_context.h"
#include "proxy/connection/close_reason.h"
#include "proxy/connection/departures.h"
#include "proxy/connection/handshake_turns.h"
#include "proxy/connection/header_read.h"
#include "proxy/connection/relay.h"
#include "proxy/connection/reauthentication.h"
#include "proxy/connection/table.h"
#include "proxy/connection/worker_context.h"
#include "proxy/link/mesh_stream.h"
#include "proxy/mesh/observation.h"
#include "proxy/tls/tls_stream.h"

namespace lanyard {

// One accepted connection, and what is known of it.
struct Arrival {
  std::unique_ptr<Stream> stream;
  size_t listener = 0;                         // index of its spec
  const ListenerSpec* spec = nullptr;          // borrowed, outlives the connection
  const Destination* fixed = nullptr;          // static listeners: where to; likewise
  SocketAddress source;
  SocketAddress dialled;                       // what the caller dialled: the original destination, or the listener
  int hops = 0;                                // as OwnSockets counts them
  const char* loop = nullptr;                  // it is this proxy calling itself: what to do about it
  bool misdirected = false;                    // nobody who calls from there can mean `dialled`
};

// Owns itself from its construction until Close. Belongs to the worker's thread.
class Connection : public Disposable, private StreamObserver {
 public:
  // Compares its reasons with the view now in force; closes when they no longer hold.
  virtual void Recheck() = 0;
  // Our own SVID is another one. An open stream of the mesh protocol is authenticated anew, at leisure; what has
  // expired meanwhile, as after a jump of the clock, is closed.
  void OwnSvidChanged();
  // Asks the far proxy to carry the stream over to another link, or, on this side, to another process there.
  void AskToMove(GoAwayReason reason);
  // `detail` is one sentence for the log. Anything but kNormal resets both sides. The connection
  // is out of the table at once, and gone at the end of the turn.
  void Close(CloseReason reason, absl::string_view detail = "");
  ConnectionRecord Record() const;

  // To another process of this proxy (connection_move.cc). Whether its stream may be offered there now; the offer, by
  // which it is known until Withdraw or Yours of departures.h.
  bool MayDepart() const;
  bool opened_here() const { return flow_ == Flow::kOutbound; }
  const StreamToken& token() const { return mesh_->token(); }
  // Where a link to its peer is dialled; empty if the peer dialled.
  std::string LinkAddress() const;
  StreamOffer OfferAs(uint64_t id);
  // The other process has the new link. False: the stream cannot leave now.
  bool Depart();
  // Not now, then: it stays, and may be offered again after a pause, which is twice the last one each time that the
  // other process refuses it. It may be closed by this.
  void DepartLater(bool refused, absl::string_view why = "");

 protected:
  enum class State : uint8_t { kReadingHeader, kSniffing, kConnecting, kHandshaking, kRelaying, kClosed };

  Connection(WorkerContext* context, Arrival arrival, Flow flow);

  // Refuses a loop, and reads the header that precedes everything else where the listener asks for one; then OnArrived.
  void Begin();
  // The phases, in the order in which each kind wants them.
  void Dial();                                            // then OnConnected
  void DialAgain();                                       // the same address, after a handshake that failed
  void Handshake(std::unique_ptr<Stream>* side, bssl::UniquePtr<SSL> ssl, Buffer* received);  // then OnHandshake
  void StartRelay(Buffer* received, std::string preface = {});
  // Of a stream that another process had.
  void ResumeRelay();
  void SetDialled(std::unique_ptr<Stream> stream);

  // The side that faces the mesh is a stream over a link from here on.
  void SetMeshStream(MeshStream* stream);
  // Its peer was authenticated anew, and may have shown another SVID.
  void OnReauthenticated();
  // Takes the TLS connection of a side apart from it, as a link.
  std::unique_ptr<Link> ToLink(std::unique_ptr<Stream>* side, LinkRole role);
  bool SpeaksMesh() const;
  // Ends it without a close of its own: its TLS connection lives on as a link.
  void Dissolve();
  std::string DestinationText() const;

  virtual void OnArrived() = 0;
  virtual void OnSniffable() {}
  virtual void OnConnected() = 0;
  virtual void OnHandshake() = 0;
  // The peer knows none of the protocols it was offered. True: it has been dealt with (DialAgain).
  virtual bool OnNoSharedProtocol() { return false; }
  virtual void OnDeadline() = 0;                          // of sniffing

  // False if a change of the view had marked it, and has closed it now.
  bool StillAllowed();
  // False if our identity was withdrawn: then it begins nothing, and this was closed. What is open does not ask.
  bool MayShowIdentity();
  // True if the peer is not banned and its SVID still holds in the view now in force; else closes. Comes before
  // every rule.
  bool RecheckPeer();
  bool RecheckBans();  // of its peer, which is known
  // Whether it may outlive the peer's SVID; after every rule.
  void RecheckExpiry();
  // Ends an inbound caller that is known but not wanted: the alert says so.
  void Refuse(CloseReason reason, absl::string_view detail);
  void EnterState(State state, absl::Duration deadline);

  const MeshView& view() const { return *context_->view; }
  State state() const { return state_; }
  const Arrival& arrival() const { return arrival_; }
  const VerifiedSvid* peer() const { return peer_.get(); }
  MeshStream* mesh() const { return mesh_; }
  const SocketAddress& target() const { return *target_; }  // dialled last

  WorkerContext* context_;
  std::shared_ptr<PeerLinks> links_;                      // where its link comes from and goes: outlives the streams
  std::unique_ptr<Stream> near_;                          // accepted
  std::unique_ptr<Stream> far_;                           // dialled
  std::string rule_;                                      // the route or policy rule in force
  std::unique_ptr<Reauthentication> reauthentication_;    // of a stream that this side opened
  std::unique_ptr<OpenRequest> request_;                  // of a stream that the peer opened

 private:
  friend class ConnectionTable;
  virtual void OnClose() {}                               // first of all

  void OnReady() override { Step(); }
  void Step();
  void StepHeader();
  void OnTimer();
  void OnResolved(absl::StatusOr<std::vector<SocketAddress>> addresses);
  void DialNext();
  void StepConnect();
  void AskHandshakeStep();
  void StepHandshake();
  void StepRelay();
  void BeginRelay();
  void StepDeparture();
  void MoveAway();
  void WatchRelay();                                      // silence and expiry
  void WatchHalfClose();
  void OnExpired();
  // connection_account.cc: what is told of it, beside its line in the log.
  void TellOpened();
  void TellClosed(const ConnectionRecord& record, CloseReason reason, absl::string_view detail);
  void ObserveRefusal(CloseReason reason);
  CloseLog::Party LogParty() const;
  void Observe(CloseReason verdict);                      // kNormal: it was let through
  void CountAccepted();
  void HandshakeEnded();
  void Account();
  CloseReason HandshakeFailure(const Stream& stream) const;
  CloseReason RelayFailure(const Stream& stream) const;

  Arrival arrival_;
  Flow flow_;
  State state_ = State::kConnecting;
  bool in_handshake_ = false;
  bool accepted_counted_ = false, expiry_counted_ = false;
  bool resumed_ = false, half_closed_ = false;
  // The table's own notes.
  uint32_t place_ = 0;
  uint32_t place_in_group_ = 0;
  size_t mark_ = 0;                                       // to be looked at: its place there, from 1
  PeerGroup* group_ = nullptr;
  uint64_t id_;
  absl::Duration opened_;
  absl::Duration handshake_began_;
  Timer timer_;
  HandshakePlace handshake_;
  std::unique_ptr<HeaderRead> header_;                    // while it is read
  std::optional<Relay> relay_;
  std::vector<SocketAddress> targets_;                    // still to be tried, last first
  std::shared_ptr<bool> resolving_;                       // expires the answer of a closed connection
  std::optional<SocketAddress> target_;
  TlsStream* tls_ = nullptr;                              // near_ or far_; null: plain, or a stream over a link
  MeshStream* mesh_ = nullptr;                            // likewise
  std::unique_ptr<Timer> ask_to_move_;
  std::shared_ptr<const TlsContext> own_;                 // the identity we showed
  std::shared_ptr<const TlsContext> checked_;             // the context the peer last verified against
  std::shared_ptr<const VerifiedSvid> peer_;
  uint64_t departure_ = 0;                                // its offer to another process; 0: none
  bool leaving_ = false;                                  // and it was taken up
  absl::Duration may_depart_ = absl::ZeroDuration();      // not before; monotonic
  uint8_t times_refused_ = 0;                             // by the other process
  uint64_t counted_forward_ = 0, counted_backward_ = 0;
};

}  // namespace lanyard
