// lanyard policy replay: what candidate rules would change, on what proxies observed lately.
#include <algorithm>
#include <map>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "identity/base/atomic_file.h"
#include "identity/base/clock.h"
#include "identity/cli/admin_client.h"
#include "identity/cli/commands.h"
#include "identity/cli/replay.h"
#include "nlohmann/json.hpp"

namespace lanyard {
namespace {

using Outcome = ReplayedTuple::Outcome;

constexpr size_t kMaxObservedFileBytes = 64 << 20;

absl::Status Append(const std::string& from, absl::string_view json, std::vector<ObservedTuple>& observed) {
  absl::StatusOr<std::vector<ObservedTuple>> more = ParseObserved(json);
  if (!more.ok()) return absl::InvalidArgumentError(absl::StrCat(from, ": ", more.status().message()));
  observed.insert(observed.end(), more->begin(), more->end());
  return absl::OkStatus();
}

absl::StatusOr<std::vector<ObservedTuple>> ObservedOf(const Arguments& arguments, absl::Duration timeout) {
  std::vector<ObservedTuple> observed;
  for (const std::string& path : arguments.List("--observed")) {
    const absl::StatusOr<std::string> text = ReadFile(path, kMaxObservedFileBytes);
    if (!text.ok()) return text.status();
    if (const absl::Status read = Append(path, *text, observed); !read.ok()) return read;
  }
  std::vector<std::string> proxies = arguments.List("--admin");
  if (proxies.empty() && arguments.List("--observed").empty()) proxies.push_back("127.0.0.1:15000");
  for (const std::string& address : proxies) {
    const absl::StatusOr<AdminAnswer> answer = GetAdminPage(address, "/observed", timeout);
    if (!answer.ok() || answer->code != 200) {
      const std::string why = answer.ok() ? absl::StrCat(answer->code, " ", absl::StripAsciiWhitespace(answer->body))
                                          : std::string(answer.status().message());
      return absl::UnavailableError(absl::StrCat("the proxy at ", address, ": ", why));
    }
    if (const absl::Status read = Append(address, answer->body, observed); !read.ok()) return read;
  }
  return observed;
}

struct Basis {
  RulesFile rules;
  BanSet bans;
};

// With --alone the candidate is all there is; else it is laid over the registry, as `apply` would.
absl::StatusOr<Basis> BasisOf(const Arguments& arguments) {
  absl::StatusOr<RulesFile> candidate = LoadRulesFile(arguments.Value("--file"));
  if (!candidate.ok()) return candidate.status();
  if (arguments.Has("--alone")) return Basis{*std::move(candidate), BanSet()};
  const auto rules = MeshRulesOf(arguments);
  if (!rules.ok()) return rules.status();
  const absl::StatusOr<MeshListing> listing = (*rules)->List("");
  if (!listing.ok()) return listing.status();
  absl::StatusOr<std::vector<Ban>> bans = (*rules)->ListBans();
  if (!bans.ok()) return bans.status();
  RulesFile registry;
  for (const ListedPolicy& listed : listing->policies) registry.policies.push_back(listed.policy);
  for (const ListedRoutes& listed : listing->routes) registry.routes.push_back(listed.routes);
  return Basis{AppliedOver(std::move(registry), *candidate), BanSet(*std::move(bans))};
}

struct Tally {
  uint64_t tuples = 0;
  uint64_t calls = 0;
};

std::map<Outcome, Tally> TalliesOf(const std::vector<ReplayedTuple>& replayed) {
  std::map<Outcome, Tally> tallies;
  for (const Outcome outcome : {Outcome::kNewlyDenied, Outcome::kNewlyAllowed, Outcome::kUnchanged, Outcome::kUnknown,
                                Outcome::kNotConcerned}) {
    tallies[outcome] = {};
  }
  for (const ReplayedTuple& one : replayed) {
    ++tallies[one.outcome].tuples;
    tallies[one.outcome].calls += one.tuple.count;
  }
  return tallies;
}

bool IsShown(const ReplayedTuple& one) {
  return one.outcome == Outcome::kNewlyDenied || one.outcome == Outcome::kNewlyAllowed ||
         one.outcome == Outcome::kUnknown;
}

void ShowJson(const std::vector<ReplayedTuple>& replayed, Output& output) {
  nlohmann::ordered_json counts = nlohmann::ordered_json::object(), changes = nlohmann::ordered_json::array();
  for (const auto& [outcome, tally] : TalliesOf(replayed)) {
    counts[std::string(OutcomeName(outcome))] = {{"tuples", tally.tuples}, {"calls", tally.calls}};
  }
  for (const ReplayedTuple& one : replayed) {
    if (!IsShown(one)) continue;
    changes.push_back({{"outcome", std::string(OutcomeName(one.outcome))},
                       {"direction", one.tuple.inbound ? "inbound" : "outbound"},
                       {"local_id", one.tuple.local_id},
                       {"peer_id", one.tuple.peer_id},
                       {"destination", one.tuple.destination},
                       {"port", one.tuple.port},
                       {"count", one.tuple.count},
                       {"rule_before", one.tuple.rule},
                       {"rule", one.rule},
                       {"reason", one.reason}});
  }
  output.Json({{"counts", std::move(counts)}, {"changes", std::move(changes)}});
}

void ShowText(const std::vector<ReplayedTuple>& replayed, Output& output) {
  for (const ReplayedTuple& one : replayed) {
    if (!IsShown(one)) continue;
    const std::string peer = one.tuple.peer_id.empty() ? "(nobody known)" : one.tuple.peer_id;
    const std::string to = one.tuple.inbound ? absl::StrCat(one.tuple.local_id, " port ", one.tuple.port)
                                             : absl::StrCat(one.tuple.destination, " as ", peer);
    const Colour colour = one.outcome == Outcome::kNewlyDenied ? Colour::kRed : Colour::kYellow;
    output.Text(absl::StrCat(output.Coloured(colour, OutcomeName(one.outcome)), "  ",
                             one.tuple.inbound ? peer : one.tuple.local_id, " -> ", to, "  (", one.tuple.count,
                             " calls, until now by ", one.tuple.rule.empty() ? "no rule" : one.tuple.rule, ")\n    ",
                             one.reason, "\n"));
  }
  for (const auto& [outcome, tally] : TalliesOf(replayed)) {
    output.Text(absl::StrCat(OutcomeName(outcome), ": ", tally.tuples, " kinds of call, ", tally.calls, " calls\n"));
  }
}

absl::Status RunReplay(const Arguments& arguments, Output& output) {
  const absl::StatusOr<absl::Duration> timeout = arguments.Duration(kTimeoutFlag);
  if (!timeout.ok()) return timeout.status();
  const absl::StatusOr<Basis> basis = BasisOf(arguments);
  if (!basis.ok()) return basis.status();
  const absl::StatusOr<std::vector<ObservedTuple>> observed = ObservedOf(arguments, *timeout);
  if (!observed.ok()) return observed.status();
  const std::vector<ReplayedTuple> replayed = Replay(basis->rules, basis->bans, *observed, SystemClock().Now());
  output.json() ? ShowJson(replayed, output) : ShowText(replayed, output);
  const uint64_t denied = TalliesOf(replayed)[Outcome::kNewlyDenied].tuples;
  if (!arguments.Has("--fail-on-denied") || denied == 0) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(denied, " kinds of call that were allowed would be denied"));
}

}  // namespace

Command PolicyReplayCommand() {
  return {.name = "replay",
          .summary = "What a file of rules would change, on the calls that proxies observed lately",
          .examples =
              "  lanyard policy replay -f candidate.yaml --admin 127.0.0.1:15000 --fail-on-denied\n"
              "  curl -s http://127.0.0.1:15000/observed > observed.json\n"
              "  lanyard policy replay -f candidate.yaml --observed observed.json --alone -o json\n",
          .flags = WithAuthorityFlags(
              {{.name = "--file", .help = "The candidate, as `apply` takes it", .required = true, .short_name = "-f"},
               {.name = "--admin",
                .help = "A proxy's admin address; 127.0.0.1:15000 where nothing is named",
                .kind = Flag::Kind::kList},
               {.name = "--observed", .help = "A file with the JSON of /observed", .kind = Flag::Kind::kList},
               {.name = "--alone",
                .help = "The candidate is all there is; otherwise it is laid over the authority's registry",
                .kind = Flag::Kind::kSwitch},
               {.name = "--fail-on-denied",
                .help = "Exit code 1 if a call that was allowed would be denied",
                .kind = Flag::Kind::kSwitch}}),
          .run = RunReplay};
}

}  // namespace lanyard
