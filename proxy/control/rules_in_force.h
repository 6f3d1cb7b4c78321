// Which rules hold: those of proxy.yaml, or of the newest view of the mesh; bans of both. Pure.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "identity/spiffe/spiffe_id.h"
#include "proxy/control/mesh_update.h"
#include "proxy/mesh/mesh_view.h"

namespace lanyard {

// What proxy.yaml says.
struct FileRules {
  MeshRules rules;
  bool of_capture = true;  // routes, default_route or inbound are written there: then they hold, and not the mesh's
};

// On the control thread only. Without rules of the file, captured connections are refused until there is a view whose
// registry speaks of this workload; then what no route matches passes through, and what no rule allows is denied.
// Static listeners' peers are always those of the file.
class RulesInForce {
 public:
  enum class Source { kNone, kAgent, kDisk };

  // `mesh`: the agent's address, empty where only the file counts; `captures`: there is something that waits for rules.
  RulesInForce(FileRules file, std::string mesh, bool captures);

  void SetFile(FileRules file) { file_ = std::move(file); }
  // True if what holds has changed, and not just its version. The rules of a view hold if they are those of the
  // identity that this proxy shows, as far as the view says; its bans in any case, as they are the whole mesh's.
  bool SetView(std::shared_ptr<const MeshUpdate> view, Source source);
  // The identity that this proxy shows. True if what holds has changed: the rules that were known are of another
  // identity, or of another workload. Those that the agent sent for the identity of before hold until it sends others.
  bool SetIdentity(const SpiffeId& own);

  // Another process of this proxy has a view, by whose bans it turns peers away: without one of its own this is not
  // Usable in its place, whoever's the rules are. Nothing happens where only the file counts.
  void AwaitView(bool awaits) { awaits_view_ = awaits && !mesh_.empty(); }

  MeshRules Combined() const;
  // OK, or why captured connections are refused.
  absl::Status Usable() const;

  bool rules_from_file() const { return file_.of_capture; }
  const FileRules& file() const { return file_; }
  const std::shared_ptr<const MeshUpdate>& view() const { return view_; }  // the newest; null: none
  Source source() const { return source_; }
  // Whose rules hold, where those of the file do not; null: of none so far.
  const std::shared_ptr<const MeshUpdate>& view_of_rules() const { return rules_; }
  // Of the newest view that holds as a whole, as far as the file lets it; 0: none does.
  uint64_t version_in_force() const;

 private:
  bool IsOfOwn(const MeshUpdate& view, Source source) const;

  const std::string mesh_;
  const bool captures_;
  bool awaits_view_ = false;
  FileRules file_;
  std::optional<SpiffeId> own_;
  std::shared_ptr<const MeshUpdate> view_;
  Source source_ = Source::kNone;
  std::shared_ptr<const MeshUpdate> rules_;
  Source rules_source_ = Source::kNone;
  std::shared_ptr<const MeshUpdate> kept_;  // the one from disk, until it is known whose view this proxy needs
};

// "none", "agent" or "disk": a metric label.
const char* NameOf(RulesInForce::Source source);

}  // namespace lanyard
