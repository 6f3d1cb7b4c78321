// Streams of one worker that come from the process before this one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "proxy/connection/acceptor.h"
#include "proxy/connection/link_dial.h"
#include "proxy/connection/link_inquiry.h"
#include "proxy/connection/move_line.h"
#include "proxy/connection/places.h"
#include "proxy/connection/worker_context.h"
#include "proxy/link/link.h"
#include "proxy/mesh/view_change.h"

namespace lanyard {

// Each is decided anew, by the rules in force here: its peer must be the one that it had, verified on a link of this
// process's own. Until both of its directions have moved nothing of it is read or written here, and whatever fails
// leaves it where it is. Those that come with their link take part in limits.max_connections, and those that a peer
// opened in max_connections_per_peer. For the worker's thread.
class Newcomers {
 public:
  // Of limits.max_connections, what streams that come may fill: new callers are to find room.
  static constexpr uint32_t kShareOfConnectionsPercent = 75;
  // Streams that this side opened wait for a free handshake (mesh_links.max_handshakes): looked at whenever one of
  // theirs has ended, and so often, as the others' are free without a word. More than so many are refused.
  static constexpr absl::Duration kDialPause = absl::Milliseconds(50);
  static constexpr size_t kMaxWaiting = 1024;

  explicit Newcomers(WorkerContext* context);
  ~Newcomers();

  MoveLine& line() { return line_; }
  // ATTACH came on `link` (kTaken), for a stream that this process does not have. False: nor does the one before, as
  // far as this worker knows (WorkerNext of the token), and the link is left.
  bool Attach(std::unique_ptr<Link>& link, const StreamToken& token);
  // The rules are other ones: who waits here with a link and is no longer trusted or allowed goes back, and the link of
  // who is banned closes.
  void OnViewChange(const ViewChange& change);
  // This process drains: it takes no more. Those that are on their way come.
  void Drain() { draining_ = true; }
  size_t expected() const { return expected_.size(); }
  // Those that have a link here, or have asked their peer for it.
  size_t coming() const { return coming_; }

 private:
  // Watches its link, once it has one.
  struct Expected final : public LinkObserver {
    explicit Expected(Newcomers* here) : owner(here) {}
    void OnOpen(Link*, const OpenRequest&) override {}
    void OnAttach(Link*, const AttachRequest&) override {}
    void OnGoAway(Link*, GoAwayReason) override {}
    void OnIdle(Link*) override {}
    void OnClosed(Link*) override { owner->OnLost(*this); }  // `this` may be gone then

    Newcomers* const owner;
    uint64_t id = 0;
    StreamOffer offer;
    bool coming = false;                   // it has a link, or has asked for it
    bool accepted = false;                 // the peer was answered, or has answered
    Place place;                           // among its peer's, where that opened the stream
    std::unique_ptr<Link> link;            // kTaken
    std::unique_ptr<LinkDial> dial;        // where this side opened the stream
    std::unique_ptr<LinkInquiry> inquiry;  // likewise
  };

  void OnMessage(const MoveMessage& message, UniqueFd fd);
  void OnOffer(const MoveMessage& message);
  std::unique_ptr<Expected> Remove(uint64_t id);
  // `reason` and `text` are for a peer that waits for the answer to ATTACH.
  void Cancel(uint64_t id, RefuseReason reason, absl::string_view text);
  void No(uint64_t id, const absl::Status& why, RefuseReason reason = RefuseReason::kBusy);
  absl::Status Begin(Expected* expected);
  absl::Status HasRoom();
  absl::Status Dial(Expected* expected);
  // Those that wait for a handshake.
  void DialWaiting();
  void OnDialled(Expected* expected, absl::StatusOr<std::unique_ptr<Link>> link);
  void OnAnswered(Expected* expected, LinkInquiry::Answer answer);
  void Comes(Expected& expected);
  // Its link is over.
  void OnLost(Expected& expected);
  // Whether the peer may go on with it, by the rules in force.
  absl::Status Allows(const StreamOffer& offer, const SpiffeId& peer) const;
  // Likewise of one that has a link, or has asked for it: and whether that is still trusted.
  absl::Status StillAllows(const Expected& expected) const;
  // As Allows, and whether there is a place for it; else why the peer's ATTACH is refused.
  absl::Status Admits(Expected& expected, const SpiffeId& peer, RefuseReason* reason);
  void Take(std::unique_ptr<Expected> expected, const MoveMessage& message, UniqueFd fd);
  void Closed();

  WorkerContext* context_;
  bool draining_ = false;
  bool full_ = false;  // the last offer found no room
  size_t coming_ = 0;
  size_t opened_ = 0;  // of expected_: by this side, which makes their links
  absl::flat_hash_map<uint64_t, std::unique_ptr<Expected>> expected_;
  absl::flat_hash_map<StreamToken, uint64_t> by_token_;  // those that the peer attaches
  std::deque<uint64_t> to_dial_;  // those that wait for a handshake, of expected_ or gone since
  Timer dial_later_;
  MoveLine line_;
};

// Whether the worker has as many connections as it may, with those that come.
bool IsFull(const WorkerContext& context);
// For who has proved who it is, and for applications here: at the limit callers that have not make room. False: there
// are none.
bool MakeRoom(const WorkerContext& context);

}  // namespace lanyard
