#include "proxy/connection/link_inquiry.h"

#include <utility>

namespace lanyard {

LinkInquiry::LinkInquiry(EventLoop* loop, std::unique_ptr<Link> link, Done done)
    : link_(std::move(link)), done_(std::move(done)), timer_(loop, [this] {
        link_.reset();
        Finish(absl::DeadlineExceededError("the far proxy did not answer PING in time"));
      }) {
  link_->Observe(this);
}

std::unique_ptr<LinkInquiry> LinkInquiry::Ping(EventLoop* loop, std::unique_ptr<Link> link, absl::Duration timeout,
                                               Done done) {
  std::unique_ptr<LinkInquiry> inquiry(new LinkInquiry(loop, std::move(link), std::move(done)));
  inquiry->link_->Ping();
  inquiry->timer_.Start(timeout);
  return inquiry;
}

std::unique_ptr<LinkInquiry> LinkInquiry::Vouch(EventLoop* loop, std::unique_ptr<Link> link,
                                                const AttachRequest& request, Done done) {
  std::unique_ptr<LinkInquiry> inquiry(new LinkInquiry(loop, std::move(link), std::move(done)));
  inquiry->link_->Vouch(request);
  return inquiry;
}

std::unique_ptr<LinkInquiry> LinkInquiry::Attach(EventLoop* loop, std::unique_ptr<Link> link,
                                                 const AttachRequest& request, Done done) {
  std::unique_ptr<LinkInquiry> inquiry(new LinkInquiry(loop, std::move(link), std::move(done)));
  inquiry->link_->Attach(request);
  return inquiry;
}

// Only told while a PONG is awaited: no call is begun where the peer wants none.
void LinkInquiry::OnGoAway(Link*, GoAwayReason) {
  Finish(absl::UnavailableError("the far proxy wants no more streams on this link"));
}

void LinkInquiry::OnClosed(Link* link) {
  absl::Status status = absl::UnavailableError(link->error_text());
  link_.reset();
  Finish(std::move(status));
}

void LinkInquiry::Finish(absl::Status status, uint32_t shard) {
  timer_.Stop();
  if (link_ != nullptr) link_->Observe(nullptr);
  const Done done = std::move(done_);
  done({std::move(link_), std::move(status), shard});  // `this` may be gone
}

}  // namespace lanyard
