// What is said to be a proxy's /observed, from any file: it is read whole or refused with a reason, and every call that
// is read gets an answer.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "absl/strings/string_view.h"
#include "identity/cli/replay.h"

namespace {

lanyard::RulesFile Rules() {
  const lanyard::PeerPattern everybody = *lanyard::PeerPattern::Parse("spiffe://td/*");
  const lanyard::Route mesh = {"mesh",
                               {*lanyard::AddressBlock::Parse("10.0.0.0/8"), *lanyard::AddressBlock::Parse("fd00::/8")},
                               {},
                               lanyard::RouteAction::kMutualTls,
                               {everybody}};
  return {{{"web", {everybody}, {{"shop", {80}, {everybody}, false}}}}, {{"shop", {everybody}, {mesh}, 0}}};
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const lanyard::RulesFile rules = Rules();
  const auto observed = lanyard::ParseObserved({reinterpret_cast<const char*>(data), size});
  if (!observed.ok() && observed.status().message().empty()) abort();
  if (!observed.ok()) return 0;
  const auto replayed = lanyard::Replay(rules, lanyard::BanSet(), *observed, absl::FromUnixSeconds(1'800'000'000));
  if (replayed.size() != observed->size()) abort();
  for (const lanyard::ReplayedTuple& one : replayed) {
    if (one.reason.empty()) abort();
    // An outcome is about a call as it was decided then.
    if (one.outcome == lanyard::ReplayedTuple::Outcome::kNewlyDenied && !one.tuple.allowed) abort();
    if (one.outcome == lanyard::ReplayedTuple::Outcome::kNewlyAllowed && one.tuple.allowed) abort();
  }
  return 0;
}
