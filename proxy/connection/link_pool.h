// Links that this side opened and that wait for their next stream: the handshake was before the call.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "proxy/connection/dial_turns.h"
#include "proxy/connection/link_dial.h"
#include "proxy/connection/worker_context.h"
#include "proxy/link/link.h"
#include "proxy/mesh/view_change.h"

namespace lanyard {

class LinkPool;

// The links to one destination. A stream takes one and brings it back when it ends; whoever took one holds this
// until then.
class PeerLinks : public LinkReturn, private LinkObserver {
 public:
  PeerLinks(LinkPool* pool, std::string destination);
  ~PeerLinks();

  // An idle link whose peer is one of `peers` and would be let in now, under our own present identity; else null.
  // Counts as demand, unless `again`. Where IsQuiet, ask it for a sign of life first (link_inquiry.h).
  std::unique_ptr<Link> Take(const std::vector<PeerPattern>& peers, bool again = false);
  // A call that finds no link dials in its turn. A sixteenth of max_handshakes has its turn at a time.
  DialTurns& turns() { return turns_; }
  // Nothing was heard of its peer for link_ping_after: a call that it gets might wait in vain. So idle links cost
  // nothing, and a call after a pause one round trip.
  bool IsQuiet(const Link& link) const;
  // One that was quiet did not answer. The others that are go too, so that the next calls need not try each.
  void Unanswered();
  // The destination speaks the mesh protocol, there. From now on links are made ahead of need: as many as streams
  // took in the last second and did not bring back, up to the limits. While streams come from the process before this
  // one, half of max_link_handshakes is theirs.
  void Speaks(const SocketAddress& address);
  // The destination refuses whoever offers it the mesh protocol: for a while nobody does.
  void IsPlain();
  bool is_plain() const { return context_->loop->now() < plain_until_; }
  void TakeBack(std::unique_ptr<Link> link) override;
  // A link that was dialled for a stream, which does not need it.
  void Spare(std::unique_ptr<Link> link) { Keep(std::move(link)); }
  // The same of one that is still being dialled: to the far proxy a handshake that is broken off is one that failed.
  void Spare(std::unique_ptr<LinkDial> dial);

  size_t idle() const { return idle_.size(); }
  // Nothing is owed to a peer: no link is idle, closing or retiring.
  bool empty() const { return idle_.empty() && leaving_.empty(); }
  const std::string& destination() const { return destination_; }

 private:
  friend class LinkPool;

  void OnOpen(Link*, const OpenRequest&) override {}      // an acceptor's
  void OnAttach(Link*, const AttachRequest&) override {}  // likewise
  void OnGoAway(Link* link, GoAwayReason reason) override;
  void OnIdle(Link* link) override;
  void OnClosed(Link* link) override;

  void Keep(std::unique_ptr<Link> link);
  // Until it is idle again, or closed: by its peer, at a deadline, or to make room.
  void LetGo(std::unique_ptr<Link> link);
  std::unique_ptr<Link> RemoveLeaving(const Link* link);
  // The one that has been leaving longest and has sent all. If none has, none, unless there are too many altogether.
  void CloseOneThatLeaves();
  // Ends it in good order; at once if its peer is to be shut out.
  void Retire(std::unique_ptr<Link> link);
  void Replenish();
  void Await(std::unique_ptr<LinkDial> dial);
  void OnDialled(const LinkDial* dial, absl::StatusOr<std::unique_ptr<Link>> link);
  void Recheck();
  // Once a second: demand fades, idle links age. False: there is nothing left here.
  bool Tick();
  void RetireAll();

  LinkPool* pool_;
  WorkerContext* context_;
  const std::string destination_;
  std::unique_ptr<SocketAddress> address_;             // null: not known to speak the protocol
  std::vector<std::unique_ptr<Link>> idle_;            // the last to come is the first to go
  std::vector<std::unique_ptr<Link>> leaving_;         // closing or retiring; the last to come is the last
  std::vector<std::unique_ptr<LinkDial>> dials_;
  DialTurns turns_;
  int64_t demand_ = 0, demand_before_ = 0;             // taken less brought back, this second and the last
  bool dial_failed_ = false;                           // in this second
  absl::Duration plain_until_;
};

// Of one worker, for its thread. Idle links retire when our identity changes, when their peer is banned or no longer
// vouched for, when the routes change, when the peer says GOAWAY, and after idle_link_timeout; those that a burst left
// (more than eight of one destination) after a sixth of it. Those that are leaving, because they are retiring or their
// stream was broken off, are bounded as the idle ones are (max_idle_links, and of a destination); those of them that
// have not sent all, because their peer does not read, by max_connections.
class LinkPool {
 public:
  explicit LinkPool(WorkerContext* context) : context_(context), tick_(context->loop, [this] { Tick(); }) {}
  ~LinkPool();

  std::shared_ptr<PeerLinks> To(const std::string& destination);
  void OnViewChange(const ViewChange& change);
  // Retires what is idle, and dials no more.
  void Drain();
  // No destination has a link here; streams have theirs.
  bool empty() const;

 private:
  friend class PeerLinks;
  void Tick();
  // After one of `newest` was let go.
  void BoundLeaving(PeerLinks* newest);

  WorkerContext* context_;
  Timer tick_;
  bool draining_ = false;
  absl::flat_hash_map<std::string, std::shared_ptr<PeerLinks>> peers_;
};

}  // namespace lanyard
