#include "proxy/connection/departures.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "proxy/connection/connection.h"
#include "proxy/connection/table.h"

namespace lanyard {

Departures::Departures(WorkerContext* context)
    : context_(context),
      line_(context, MoveLine::Side::kBefore, [](WorkerContext& other) { return &other.departures->line_; },
            {.on_message = [this](const MoveMessage& message, UniqueFd) { OnMessage(message); },
             .on_open = [this] { Tick(); },
             .on_closed = [this] { Closed(); }}),
      tick_(context->loop, [this] { Tick(); }) {}

void Departures::Drain() {
  draining_ = true;
  line_.open() ? Tick() : context_->table->AskToMove();
}

size_t Departures::Share() const {
  constexpr size_t kRoom = MoveLine::kMaxQueued / 2;
  const size_t free = kRoom - std::min(kRoom, line_.queued());
  return std::min<size_t>(kMaxOffersPerTurn, free / context_->workers);
}

// A turn apart, so that those who could not go are tried again; their own pause keeps it cheap. Each turn begins with
// the first that the last one left out, so that none is left out for ever.
void Departures::Tick() {
  if (!draining_ || !line_.open()) return;
  const std::vector<Connection*>& all = context_->table->connections();
  size_t share = Share(), place = next_;
  std::optional<size_t> left_out;
  for (size_t left = all.size(); left > 0; --left, ++place) {
    if (place >= all.size()) place = 0;
    if (!all[place]->MayDepart()) continue;
    if (share > 0 && Offer(all[place])) {
      --share;
    } else if (!left_out.has_value()) {
      left_out = place;
    }
    if (share == 0) break;
  }
  next_ = left_out.value_or(place);
  tick_.Start(kTick);
}

bool Departures::Offer(Connection* connection) {
  const std::string address = connection->opened_here() ? connection->LinkAddress() : "";
  if (!address.empty() && !MayDial(address)) return false;
  const uint64_t id = MoveId(++last_number_, connection->token(), context_->worker);
  const StreamOffer offer = connection->OfferAs(id);
  offered_[id] = {connection, address};
  if (!address.empty()) {
    ++dialled_.now;
    ++dialled_each_[address].now;
  }
  if (!line_.Send({.kind = MoveKind::kOffer, .id = id, .offer = offer})) {
    Forget(id);  // nobody has heard of it
    connection->DepartLater(true);
  }
  connection->AskToMove(GoAwayReason::kDraining);
  return true;
}

bool Departures::MayDial(const std::string& address) const {
  const auto there = dialled_each_.find(address);
  return HasRoom(dialled_, kDialledAtFirst) &&
         HasRoom(there == dialled_each_.end() ? Dials() : there->second, kDialledEachAtFirst);
}

size_t Departures::MostHandshakes() const { return std::max<size_t>(context_->limits.max_link_handshakes, 1); }

bool Departures::HasRoom(const Dials& dials, size_t at_first) const {
  const size_t most = MostHandshakes();
  return dials.now < std::min(most, std::clamp<size_t>(most / 2, 1, at_first) + dials.earned);
}

// So many more in each round trip as have answered in the last one: a far peer's streams do not take a round trip each.
void Departures::Learn(const std::string& address, bool ready) {
  for (Dials* const dials : {&dialled_, &dialled_each_[address]}) {
    dials->earned = ready ? std::min(dials->earned + 1, MostHandshakes()) : 0;
  }
}

void Departures::OnMessage(const MoveMessage& message) {
  const auto found = offered_.find(message.id);
  if (found == offered_.end()) return;  // it was withdrawn meanwhile
  const bool made_room = !found->second.dialled.empty();
  if (made_room) Learn(found->second.dialled, message.kind == MoveKind::kReady);
  Answered(found->second);
  if (made_room && message.kind == MoveKind::kReady) tick_.Start(absl::ZeroDuration());
  Connection* const connection = found->second.connection;
  if (message.kind == MoveKind::kReady && connection->Depart()) {
    line_.Send({.kind = MoveKind::kGo, .id = message.id});
    return;
  }
  connection->DepartLater(message.kind == MoveKind::kNo, message.why);
}

void Departures::Answered(Offered& offered) {
  const auto there = dialled_each_.find(std::exchange(offered.dialled, ""));
  if (there == dialled_each_.end()) return;
  --dialled_.now;
  --there->second.now;
}

bool Departures::Forget(uint64_t id) {
  const auto found = offered_.find(id);
  if (found == offered_.end()) return false;
  Answered(found->second);
  offered_.erase(found);
  return true;
}

void Departures::Withdraw(uint64_t id) {
  if (Forget(id)) line_.Send({.kind = MoveKind::kCancel, .id = id});
}

void Departures::Yours(uint64_t id, const StreamState& state, UniqueFd application) {
  Forget(id);
  line_.Send({.kind = MoveKind::kYours, .id = id, .sent_end = state.sent_end, .received_end = state.received_end},
             std::move(application));
}

// The next process is gone: what has not left stays here, or is carried over to wherever the peers find it.
void Departures::Closed() {
  tick_.Stop();
  const auto offered = std::exchange(offered_, {});
  dialled_ = {};
  dialled_each_.clear();
  for (const auto& [id, each] : offered) each.connection->DepartLater(false, "the new process is gone");
  if (draining_) Drain();
}

}  // namespace lanyard
