// Who is told of links that no stream holds, and who takes them back from streams.
#pragma once

#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "proxy/link/frame.h"

namespace lanyard {

class Link;

// Told by links that no stream holds. Outlives them, or is taken from them. Every call comes from the loop, never from
// within a call of the link, and the link may be moved away or destroyed from within.
class LinkObserver {
 public:
  // Acceptor: the peer wants a stream. The link reads nothing more until it is given to MeshStream::Accepted.
  virtual void OnOpen(Link* link, const OpenRequest& request) = 0;
  // Acceptor: the peer wants this link to carry on a stream. Give it to MeshStream::Attach of the stream that the
  // token names, if need be on another thread (Release), or RefuseAttach.
  virtual void OnAttach(Link* link, const AttachRequest& request) = 0;
  // Acceptor: the peer proves by this link who carries the stream that the token names, on another link. Answer it by
  // AnswerVouch, if need be on another thread.
  virtual void OnVouch(Link*, const AttachRequest&) {}
  // Opener: the answer to Vouch or Attach. The link is idle again, or, after Attach and OK, taken, and `shard` is where
  // the acceptor has the stream.
  virtual void OnVouched(Link*, const absl::Status& /*answer*/, uint32_t /*shard*/) {}
  // The peer of an idle link lives: the answer to Ping.
  virtual void OnPong(Link*) {}
  // Opener: the peer wants no more streams on it.
  virtual void OnGoAway(Link* link, GoAwayReason reason) = 0;
  // A link that was kClosing is kIdle.
  virtual void OnIdle(Link* link) = 0;
  // It is over: state() is kClosed, error() and error_text() say why (kNone: in good order). Destroy it.
  virtual void OnClosed(Link* link) = 0;

 protected:
  ~LinkObserver() = default;
};

// Where streams leave their links. Outlives the streams that name it.
class LinkReturn {
 public:
  // In state kIdle, kClosing or kRetiring. Observe it: whatever it still owes its peer it does by itself. Called from
  // within the stream's calls and its destructor, so nothing may be done to that stream here. Destroying the link
  // instead closes the connection; a kRetiring one may then take bytes with it that the stream's peer still needs.
  virtual void TakeBack(std::unique_ptr<Link> link) = 0;

 protected:
  ~LinkReturn() = default;
};

}  // namespace lanyard
