// How a stream over a link goes on in another process of this proxy: the last steps here, and the first there.
#include <algorithm>
#include <utility>

#include "proxy/connection/connection.h"
#include "proxy/connection/departures.h"
#include "proxy/connection/link_origin.h"

namespace lanyard {
namespace {

// Before a stream that could not leave is offered again, or carried over by this process; twice as long each time that
// it was refused, as that may be for a dial that takes long to fail.
constexpr absl::Duration kDeparturePause = absl::Seconds(1);
constexpr uint8_t kMostDoublings = 5;

}  // namespace

bool Connection::MayDepart() const {
  if (state_ != State::kRelaying || mesh_ == nullptr || departure_ != 0) return false;
  return mesh_->link() != nullptr && mesh_->answered() && !mesh_->carrying_over() &&
         context_->loop->now() >= may_depart_;
}

std::string Connection::LinkAddress() const {
  const LinkOrigin* origin = opened_here() ? LinkOriginOf(mesh_->link()->ssl()) : nullptr;
  return origin == nullptr ? "" : origin->remote.ToString();
}

StreamOffer Connection::OfferAs(uint64_t id) {
  departure_ = id;
  mesh_->Promise(absl::InfiniteDuration());
  return {.opened = opened_here(),
          .token = mesh_->token(),
          .shard = mesh_->shard(),
          .peer_id = peer_->id.ToString(),
          .listener = arrival_.spec->name,
          .source = arrival_.source.ToString(),
          .dialled = arrival_.dialled.ToString(),
          .destination = DestinationText(),
          .remote = LinkAddress(),
          .application_source = request_ == nullptr ? "" : request_->source,
          .application_target = request_ == nullptr ? "" : request_->target};
}

// The far proxy may have tried another link meanwhile, and switched to it as soon as the first READY was answered.
bool Connection::Depart() {
  if (state_ != State::kRelaying) return false;
  leaving_ = mesh_->Depart().ok() || (leaving_ && mesh_->departing());
  return leaving_;
}

void Connection::DepartLater(bool refused, absl::string_view why) {
  if (departure_ == 0) return;
  context_->departures->Withdraw(std::exchange(departure_, 0));
  leaving_ = false;
  may_depart_ = context_->loop->now() + kDeparturePause * (1 << times_refused_);
  if (refused) times_refused_ = std::min<uint8_t>(times_refused_ + 1, kMostDoublings);
  // An ATTACH of the other process may still be on its way.
  mesh_->Promise(context_->loop->now() + kDeparturePause);
  mesh_->Stay(why);
  relay_->Hold(opened_here() ? Relay::Way::kForward : Relay::Way::kBackward, false);
  if (mesh_->error() != StreamError::kNone) Close(RelayFailure(*mesh_), mesh_->error_text());
}

// SWITCH leaves behind everything that was read of the application, which is read no more from here on; and the stream
// is the other process's when all that came on the old link is with the application.
void Connection::StepDeparture() {
  if (!mesh_->departing() && mesh_->error() == StreamError::kNone) return DepartLater(false);
  const Relay::Way outward = opened_here() ? Relay::Way::kForward : Relay::Way::kBackward;
  const Relay::Way inward = opened_here() ? Relay::Way::kBackward : Relay::Way::kForward;
  if (mesh_->awaits_quiet()) {
    if (!context_->departures->line().open()) return DepartLater(false, "the new process is gone");
    relay_->Hold(outward, true);
    if (relay_->Empty(outward)) mesh_->Quiet();
  }
  if (mesh_->departed() && relay_->Empty(inward) && relay_->Told(inward) == mesh_->received_end()) return MoveAway();
  if (mesh_->error() != StreamError::kNone) Close(RelayFailure(*mesh_), mesh_->error_text());
}

void Connection::MoveAway() {
  Stream& application = opened_here() ? *near_ : *far_;
  UniqueFd socket = application.ReleaseFd();
  if (!socket.valid()) return Close(RelayFailure(application), application.error_text());
  ResetOnClose(socket.get());  // if it gets lost on its way
  const StreamState state = mesh_->Leave();
  context_->departures->Yours(std::exchange(departure_, 0), state, std::move(socket));
  Close(CloseReason::kMovedToNewProcess);
}

void Connection::SetDialled(std::unique_ptr<Stream> stream) {
  far_ = std::move(stream);
  far_->set_observer(this);
}

void Connection::ResumeRelay() {
  relay_.emplace(context_->loop, context_->pool, context_->buffer_budget, context_->limits.buffer_bytes, near_.get(),
                 far_.get(), [this] { Step(); });
  relay_->Resumed();
  CountAccepted();
  BeginRelay();
}

}  // namespace lanyard
