#include "proxy/control/rules_in_force.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace lanyard {
namespace {

constexpr char kDefaultRoute[] = "default";

}  // namespace

RulesInForce::RulesInForce(FileRules file, std::string mesh, bool captures)
    : mesh_(std::move(mesh)), captures_(captures), file_(std::move(file)) {}

bool RulesInForce::SetView(std::shared_ptr<const MeshUpdate> view, Source source) {
  const bool changed = view_ == nullptr || view_->content != view->content;
  view_ = std::move(view);
  source_ = source;
  return changed;
}

bool RulesInForce::DropKeptViewOfAnother(const SpiffeId& own) {
  if (source_ != Source::kDisk) return false;
  const auto& ids = view_->spiffe_ids;
  if (std::find(ids.begin(), ids.end(), own) != ids.end()) return false;
  view_ = nullptr;
  source_ = Source::kNone;
  return true;
}

MeshRules RulesInForce::Combined() const {
  MeshRules rules = file_.rules;
  if (!file_.of_capture) {
    const bool spoken_of = view_ != nullptr && view_->has_rules;
    rules.routes = spoken_of ? RouteTable(view_->routes, {kDefaultRoute, {}, {}, RouteAction::kPassThrough, {}})
                             : RouteTable();
    rules.inbound = spoken_of ? view_->inbound : InboundPolicy();
  }
  if (view_ != nullptr) {
    std::vector<Ban> bans = file_.rules.bans.all();
    bans.insert(bans.end(), view_->bans.begin(), view_->bans.end());
    rules.bans = BanSet(std::move(bans));
  }
  return rules;
}

absl::Status RulesInForce::Usable() const {
  if (file_.of_capture || !captures_) return absl::OkStatus();
  if (view_ == nullptr) {
    return absl::UnavailableError(
        absl::StrCat("waiting for the first view of the mesh from ", mesh_, "; captured connections are refused"));
  }
  if (view_->has_rules) return absl::OkStatus();
  return absl::UnavailableError(
      absl::StrCat("no policy or route of the registry speaks of ",
                   view_->spiffe_ids.empty() ? "this workload" : view_->spiffe_ids.front().ToString(),
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
