// Links that peers opened to this worker: those that wait for OPEN or ATTACH, and the streams that an ATTACH may name.
#pragma once

#include <cstdint>
#include <memory>

#include "absl/container/flat_hash_map.h"
#include "proxy/connection/worker_context.h"
#include "proxy/link/link.h"
#include "proxy/mesh/view_change.h"

namespace lanyard {

class InboundConnection;

// For the worker's thread. An idle link is closed when its peer is banned or no longer vouched for, when either SVID
// expires, and after twice idle_link_timeout, so that its opener, which knows of it, is the first to let go. When our
// SVID changes its opener is asked (GOAWAY) for another.
class AcceptedLinks : public LinkReturn, private LinkObserver {
 public:
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
  size_t size() const { return links_.size(); }

 private:
  void OnOpen(Link* link, const OpenRequest& request) override;
  void OnAttach(Link* link, const AttachRequest& request) override;
  void OnVouch(Link* link, const AttachRequest& request) override;
  void OnGoAway(Link*, GoAwayReason) override {}  // an opener's
  void OnIdle(Link*) override {}                  // it waits here already
  void OnClosed(Link* link) override;

  using Task = void (AcceptedLinks::*)(std::unique_ptr<Link>, const StreamToken&);
  // To the worker that has the stream, as the opener knows it: there `task` goes on with the link.
  void Pass(std::unique_ptr<Link> link, const AttachRequest& request, Task task);
  void PassTo(uint64_t worker, std::unique_ptr<Link> link, const StreamToken& token, Task task);
  bool IsHere(uint64_t worker) const;
  std::unique_ptr<Link> Remove(Link* link);
  void MakeRoom();
  void Retire(Link* link);
  void Tick();

  WorkerContext* context_;
  bool draining_ = false;
  absl::flat_hash_map<Link*, std::unique_ptr<Link>> links_;
  absl::flat_hash_map<StreamToken, InboundConnection*> streams_;
  Timer tick_;
};

}  // namespace lanyard
