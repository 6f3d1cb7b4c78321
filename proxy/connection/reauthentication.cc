#include "proxy/connection/reauthentication.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "identity/base/logging.h"
#include "proxy/connection/link_origin.h"

namespace lanyard {
namespace {

constexpr absl::Duration kShortestPause = absl::Milliseconds(200);
// Wall-clock time may jump, so a wait for it is never longer than this.
constexpr absl::Duration kLongestWait = absl::Seconds(30);

}  // namespace

Reauthentication::Reauthentication(WorkerContext* context, MeshStream* stream, std::shared_ptr<PeerLinks> links,
                                   Events events)
    : context_(context),
      stream_(stream),
      links_(std::move(links)),
      events_(std::move(events)),
      timer_(context->loop, [this] {
        if (context_->loop->clock().Now() < due_) return Arm();
        Begin();
      }) {
  Schedule();
}

absl::Duration Reauthentication::Left() const {
  const absl::Time expiry = LinkExpiry(*stream_->peer(), *stream_->own());
  return std::max(expiry - context_->loop->clock().Now(), absl::ZeroDuration());
}

void Reauthentication::Stop() {
  timer_.Stop();
  if (dial_ != nullptr) links_->Spare(std::move(dial_));
  inquiry_.reset();
}

void Reauthentication::Schedule() {
  const bool rotated = stream_->own()->svid()->chain() != context_->view->tls->svid()->chain();
  if (rotated) return At(Left() * 0.25 * Random(), ReauthenticationCause::kOwnRotation);
  At(Left() * (0.6 + 0.1 * Random()), ReauthenticationCause::kExpiryNear);
}

void Reauthentication::At(absl::Duration after, ReauthenticationCause cause) {
  cause_ = cause;
  due_ = context_->loop->clock().Now() + after;
  Arm();
}

void Reauthentication::Arm() {
  timer_.Start(std::clamp(due_ - context_->loop->clock().Now(), absl::ZeroDuration(), kLongestWait));
}

void Reauthentication::OwnSvidChanged() {
  if (dial_ != nullptr || inquiry_ != nullptr) return;  // Schedule will see it
  Schedule();
}

void Reauthentication::PeerAsks(GoAwayReason reason) {
  if (reason == GoAwayReason::kRotated && context_->view->on_svid_expiry != OnSvidExpiry::kReauthenticate) return;
  const bool dealt_with = stream_->link() != nullptr && stream_->link()->opened() == vouched_for_;
  if (reason == GoAwayReason::kRotated && dealt_with) return;
  const bool began = reason == GoAwayReason::kDraining && !draining_;
  draining_ = reason == GoAwayReason::kDraining;
  if (began) drain_pause_ = kFirstDrainPause;
  if (dial_ != nullptr || inquiry_ != nullptr) return;
  if (cause_ == ReauthenticationCause::kPeerAsked && !began) return;
  absl::Duration wait = absl::ZeroDuration();
  if (draining_) {
    const absl::Duration now = context_->loop->now();
    wait = std::max(left_at_ + kFirstDrainPause - now, wait);
    left_at_ = now + wait;
  }
  At(wait, ReauthenticationCause::kPeerAsked);
}

void Reauthentication::Begin() {
  if (cause_ != ReauthenticationCause::kPeerAsked && context_->view->on_svid_expiry != OnSvidExpiry::kReauthenticate) {
    return Later();
  }
  const LinkOrigin* origin = stream_->link() == nullptr ? nullptr : LinkOriginOf(stream_->link()->ssl());
  if (origin == nullptr) return;  // the stream has failed, and its connection will see it
  if (Left() <= absl::ZeroDuration() || !stream_->answered()) return Later();  // too late, or too early
  if (context_->counters->link_handshakes_in_flight.value() >= context_->limits.max_link_handshakes) {
    context_->counters->limit_link_handshakes.Add();
    return At(std::min(Left() * 0.05, absl::Milliseconds(50)) * (0.5 + Random()), cause_);
  }
  dial_ = std::make_unique<LinkDial>(context_, origin->remote, links_->destination(),
                                     [this](auto link) { OnDialled(std::move(link)); });
}

void Reauthentication::OnDialled(absl::StatusOr<std::unique_ptr<Link>> link) {
  dial_.reset();
  if (!link.ok()) return Again(link.status());
  if (Left() <= absl::ZeroDuration()) return Again(absl::DeadlineExceededError("an SVID of the stream has expired"));
  const VerifiedSvid& peer = *(*link)->peer();
  if (peer.id != stream_->peer()->id) {
    return Again(absl::PermissionDeniedError(absl::StrCat(peer.id.ToString(), " answered instead of ",
                                                          stream_->peer()->id.ToString())));
  }
  if (const absl::Status allowed = events_.allows(peer); !allowed.ok()) return Again(allowed);
  const bool longer =
      LinkExpiry(peer, *(*link)->own()) > LinkExpiry(*stream_->peer(), *stream_->own());
  if (!longer && cause_ == ReauthenticationCause::kExpiryNear) {
    links_->Spare(*std::move(link));
    return Later();  // neither side has a newer SVID yet
  }
  inquiry_ = LinkInquiry::Vouch(context_->loop, *std::move(link), {stream_->token(), stream_->shard()},
                                [this](LinkInquiry::Answer answer) { OnAnswered(std::move(answer)); });
}

// Vouched for first, because that does not depend on the applications at the two ends.
void Reauthentication::OnAnswered(LinkInquiry::Answer answer) {
  inquiry_.reset();
  if (answer.link == nullptr) return Again(answer.status);
  if (!answer.status.ok() || !stream_->Vouched(*answer.link).ok()) return CarryOver(std::move(answer.link), false);
  vouched_for_ = stream_->link()->opened();
  const ReauthenticationCause cause = cause_;
  Count();
  Schedule();
  cause_ = cause;  // of what goes on
  if (stream_->carrying_over()) {
    links_->Spare(std::move(answer.link));
  } else {
    CarryOver(std::move(answer.link), true);
  }
  events_.renewed();  // `this` may be gone
}

void Reauthentication::CarryOver(std::unique_ptr<Link> link, bool vouched) {
  const absl::Status begun = stream_->CarryOver(
      std::move(link), [this, vouched](absl::Status status) { OnCarried(status, vouched); });
  if (!begun.ok()) OnCarried(begun, vouched);
}

void Reauthentication::OnCarried(const absl::Status& status, bool vouched) {
  if (!status.ok() && !vouched) return Again(status);
  if (!status.ok()) {
    context_->counters->carry_overs_put_off.Add();
    Log(LogLevel::kDebug, "an open stream was authenticated anew where it is; it is to be carried over later",
        {{"peer_id", stream_->peer()->id.ToString()}, {"error", status}});
    return draining_ ? Later() : Schedule();
  }
  draining_ = false;
  if (!vouched) Count();
  Schedule();
  // It may have said so before there was a stream on it, of which nothing may come that would make us look.
  if (const auto reason = stream_->peer_going_away(); reason.has_value()) PeerAsks(*reason);
  events_.renewed();  // `this` may be gone
}

void Reauthentication::Count() {
  context_->counters->reauthentications[static_cast<size_t>(cause_)].Add();
  last_failure_.clear();
}

void Reauthentication::Again(const absl::Status& why) {
  context_->counters->reauthentication_failures[static_cast<size_t>(cause_)].Add();
  last_failure_ = std::string(why.message());
  Log(LogLevel::kDebug, "an open stream was not authenticated anew; to be tried again",
      {{"peer_id", stream_->peer()->id.ToString()}, {"error", why}, {"left_ms", absl::ToInt64Milliseconds(Left())}});
  Later();
}

void Reauthentication::Later() {
  absl::Duration pause = std::max(Left() * 0.125, kShortestPause);
  if (draining_) {
    pause = std::min(pause, drain_pause_);
    drain_pause_ *= 2;
  }
  At(pause * (0.75 + 0.5 * Random()), cause_);
}

}  // namespace lanyard
