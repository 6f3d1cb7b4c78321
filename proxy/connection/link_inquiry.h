// One question on an idle link that this side opened, and the wait for its answer: does the peer live (PING), does it
// take this link's word for a stream (VOUCH), will it carry one on here that another process has (ATTACH).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "proxy/io/event_loop.h"
#include "proxy/link/link.h"

namespace lanyard {

// For the worker's thread. Destroying it closes the link, whose answer nobody would expect.
class LinkInquiry : private LinkObserver {
 public:
  struct Answer {
    std::unique_ptr<Link> link;  // idle, or attached; null: it has failed, or did not answer in time
    absl::Status status;         // what the peer said of the stream, that it goes away, or why the link failed
    uint32_t shard = 0;          // where the peer has the stream, if it said so
  };
  // Once, in a later turn; the inquiry may be destroyed from within.
  using Done = std::function<void(Answer)>;

  static std::unique_ptr<LinkInquiry> Ping(EventLoop* loop, std::unique_ptr<Link> link, absl::Duration timeout,
                                           Done done);
  // In Link::kVouchDeadline.
  static std::unique_ptr<LinkInquiry> Vouch(EventLoop* loop, std::unique_ptr<Link> link, const AttachRequest& request,
                                            Done done);
  static std::unique_ptr<LinkInquiry> Attach(EventLoop* loop, std::unique_ptr<Link> link, const AttachRequest& request,
                                             Done done);

 private:
  LinkInquiry(EventLoop* loop, std::unique_ptr<Link> link, Done done);

  void OnOpen(Link*, const OpenRequest&) override {}      // an acceptor's
  void OnAttach(Link*, const AttachRequest&) override {}  // likewise
  void OnIdle(Link*) override {}                          // it is
  void OnPong(Link*) override { Finish(absl::OkStatus()); }
  void OnVouched(Link*, const absl::Status& answer, uint32_t shard) override { Finish(answer, shard); }
  void OnGoAway(Link*, GoAwayReason) override;
  void OnClosed(Link* link) override;
  // `this` may be gone then.
  void Finish(absl::Status status, uint32_t shard = 0);

  std::unique_ptr<Link> link_;
  Done done_;
  Timer timer_;  // of a PING
};

}  // namespace lanyard
