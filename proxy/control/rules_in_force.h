// Which rules hold: those of proxy.yaml, or of the newest view of the mesh; bans of both. Pure.
#pragma once

#include <memory>
#include <string>

#include "absl/status/status.h"
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
  // True if what holds has changed, and not just its version.
  bool SetView(std::shared_ptr<const MeshUpdate> view, Source source);
  // The identity that this proxy shows. A view from disk that is another workload's is dropped: then true.
  bool DropKeptViewOfAnother(const SpiffeId& own);

  MeshRules Combined() const;
  // OK, or why captured connections are refused.
  absl::Status Usable() const;

  bool rules_from_file() const { return file_.of_capture; }
  const FileRules& file() const { return file_; }
  const std::shared_ptr<const MeshUpdate>& view() const { return view_; }  // null: none
  Source source() const { return source_; }

 private:
  const std::string mesh_;
  const bool captures_;
  FileRules file_;
  std::shared_ptr<const MeshUpdate> view_;
  Source source_ = Source::kNone;
};

// "none", "agent" or "disk": a metric label.
const char* NameOf(RulesInForce::Source source);

}  // namespace lanyard
