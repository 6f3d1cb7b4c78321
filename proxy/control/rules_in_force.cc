#include "proxy/control/rules_in_force.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"

namespace lanyard {
namespace {

constexpr char kDefaultRoute[] = "default";

std::string WorkloadOf(const MeshUpdate& view) {
  if (view.spiffe_id.has_value()) return view.spiffe_id->ToString();
  return view.spiffe_ids.empty() ? "this workload" : view.spiffe_ids.front().ToString();
}

}  // namespace

RulesInForce::RulesInForce(FileRules file, std::string mesh, bool captures)
    : mesh_(std::move(mesh)), captures_(captures), file_(std::move(file)) {}

bool RulesInForce::SetView(std::shared_ptr<const MeshUpdate> view, Source source) {
  bool changed = view_ == nullptr || view_->content != view->content;
  view_ = std::move(view);
  source_ = source;
  if (source == Source::kDisk && !own_.has_value()) kept_ = view_;
  if (IsOfOwn(*view_, source)) {
    changed = changed || rules_ == nullptr || rules_->content != view_->content;
    rules_ = view_;
    rules_source_ = source;
  }
  return changed;
}

bool RulesInForce::IsOfOwn(const MeshUpdate& view, Source source) const {
  if (!own_.has_value()) return true;  // it is asked again when there is one, and nothing is served before
  if (view.spiffe_id == own_) return true;
  const bool among = std::find(view.spiffe_ids.begin(), view.spiffe_ids.end(), *own_) != view.spiffe_ids.end();
  // An agent that has no entry for what this proxy shows (an SVID of other files) knows by its caller whose view it is;
  // but not one that has lost the entry since it sent the rules of it.
  if (!among) return source == Source::kAgent && (rules_ == nullptr || rules_->spiffe_id != own_);
  return !view.spiffe_id.has_value();
}

bool RulesInForce::SetIdentity(const SpiffeId& own) {
  const bool first = !own_.has_value();
  own_ = own;
  const std::shared_ptr<const MeshUpdate> kept = std::exchange(kept_, nullptr);
  if (rules_ == nullptr) return false;
  // The agent may have lost the entry meanwhile, and then speaks of another identity of this caller.
  const bool kept_names_it = kept != nullptr && kept->spiffe_id == own_ && rules_->spiffe_id != own_;
  if (!kept_names_it && IsOfOwn(*rules_, rules_source_)) return false;
  if (!first && rules_source_ == Source::kAgent) return false;
  // The agent may have spoken of its default identity before it heard of this one.
  const bool kept_is_own = kept != nullptr && IsOfOwn(*kept, Source::kDisk);
  rules_ = kept_is_own ? kept : nullptr;
  rules_source_ = kept_is_own ? Source::kDisk : Source::kNone;
  return true;
}

uint64_t RulesInForce::version_in_force() const {
  const std::shared_ptr<const MeshUpdate>& whole = file_.of_capture ? view_ : rules_;
  return whole == nullptr ? 0 : whole->version;
}

MeshRules RulesInForce::Combined() const {
  MeshRules rules = file_.rules;
  if (!file_.of_capture) {
    const bool spoken_of = rules_ != nullptr && rules_->has_rules;
    rules.routes = spoken_of ? RouteTable(rules_->routes, {kDefaultRoute, {}, {}, RouteAction::kPassThrough, {}})
                             : RouteTable();
    rules.inbound = spoken_of ? rules_->inbound : InboundPolicy();
  }
  if (view_ != nullptr) {
    std::vector<Ban> bans = file_.rules.bans.all();
    bans.insert(bans.end(), view_->bans.begin(), view_->bans.end());
    rules.bans = BanSet(std::move(bans));
  }
  return rules;
}

absl::Status RulesInForce::Usable() const {
  if (awaits_view_ && view_ == nullptr) {
    return absl::UnavailableError(absl::StrCat("waiting for a view of the mesh from ", mesh_,
                                               ": the proxy before this one has one, and its bans are to hold"));
  }
  if (file_.of_capture || !captures_) return absl::OkStatus();
  if (rules_ == nullptr) {
    return absl::UnavailableError(
        absl::StrCat("waiting for the first view of the mesh from ", mesh_, "; captured connections are refused"));
  }
  if (rules_->has_rules) return absl::OkStatus();
  return absl::UnavailableError(
      absl::StrCat("no policy or route of the registry speaks of ", WorkloadOf(*rules_),
                   ": apply one with `lanyard policy apply`; captured connections are refused"));
}

const char* NameOf(RulesInForce::Source source) {
  switch (source) {
    case RulesInForce::Source::kAgent:
      return "agent";
    case RulesInForce::Source::kDisk:
      return "disk";
    case RulesInForce::Source::kNone:
      break;
  }
  return "none";
}

}  // namespace lanyard
