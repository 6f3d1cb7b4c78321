// Links that peers opened to this worker: those that wait for OPEN or ATTACH, and the streams that an ATTACH may name.
#pragma once

#include <cstdint>
#include <map>
#include <memory>

#include "absl/container/flat_hash_map.h"
#include "proxy/connection/crowd.h"
#include "proxy/connection/worker_context.h"
#include "proxy/link/link.h"
#include "proxy/mesh/view_change.h"

namespace lanyard {

class InboundConnection;

// For the worker's thread. An idle link is closed when its peer is banned or no longer vouched for, when either SVID
// expires, and after twice idle_link_timeout, so that its opener, which knows of it, is the first to let go. When our
// SVID changes its opener is asked (GOAWAY) for another.
//
// With more than max_idle_links the peer that has most idle ones is asked to close its oldest. Those that are leaving
// (asked so, retiring, or closing a stream) are as many at most: then the one that has been leaving longest and has
// sent all is closed; those that have not, because their peer does not read, are bounded by max_connections.
class AcceptedLinks : public LinkReturn, private LinkObserver {
 public:
  // An idle link that is to make room is closed so long after GOAWAY: an OPEN that crosses it is still answered.
  static constexpr absl::Duration kRoomGrace = absl::Seconds(1);

  explicit AcceptedLinks(WorkerContext* context);
  ~AcceptedLinks();

  // A link fresh from its handshake (with a LinkOrigin), or one that a stream has left.
  void TakeBack(std::unique_ptr<Link> link) override;

  // False: another stream has that token.
  bool Enter(const StreamToken& token, InboundConnection* connection);
  void Leave(const StreamToken& token) { streams_.erase(token); }
  bool Knows(const StreamToken& token) const { return streams_.contains(token); }

  // ATTACH came on `link` (kTaken), here or at another worker.
  void Attach(std::unique_ptr<Link> link, const StreamToken& token);
  // Likewise VOUCH.
  void Vouch(std::unique_ptr<Link> link, const StreamToken& token);

  void OnViewChange(const ViewChange& change);
  // Asks every opener to go elsewhere: it closes what is idle, and an OPEN that it had sent before is still answered.
  void Drain();
  size_t size() const { return links_.size(); }  // leaving or not

 private:
  void OnOpen(Link* link, const OpenRequest& request) override;
  void OnAttach(Link* link, const AttachRequest& request) override;
  void OnVouch(Link* link, const AttachRequest& request) override;
  void OnGoAway(Link*, GoAwayReason) override {}  // an opener's
  void OnIdle(Link* link) override;
  void OnClosed(Link* link) override;

  using Task = void (AcceptedLinks::*)(std::unique_ptr<Link>, const StreamToken&);
  // To the worker that has the stream, as the opener knows it: there `task` goes on with the link.
  void Pass(std::unique_ptr<Link> link, const AttachRequest& request, Task task);
  void PassTo(uint64_t worker, std::unique_ptr<Link> link, const StreamToken& token, Task task);
  bool IsHere(uint64_t worker) const;
  std::unique_ptr<Link> Remove(Link* link);
  // It is idle.
  void Wait(Link* link);
  void BeginToLeave(Link* link);
  void BoundLeaving();
  void Retire(Link* link);
  void Tick();

  struct Held {
    std::unique_ptr<Link> link;
    uint64_t leaving = 0;  // its place among those that leave; 0: it waits
    absl::Duration since = absl::ZeroDuration();  // when it began to
  };

  WorkerContext* context_;
  bool draining_ = false;
  absl::flat_hash_map<Link*, Held> links_;
  Crowd<Link> waiting_;                // by the peer's ID
  std::map<uint64_t, Link*> leaving_;  // in the order in which they began to
  uint64_t next_leaving_ = 1;
  absl::flat_hash_map<StreamToken, InboundConnection*> streams_;
  Timer tick_;
};

}  // namespace lanyard
