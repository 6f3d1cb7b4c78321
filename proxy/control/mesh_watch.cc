#include "proxy/control/mesh_watch.h"

#include <utility>

#include "identity/base/logging.h"
#include "proxy/control/kept_view.h"

namespace lanyard {

MeshWatch::MeshWatch(Options options, ControlLoop& loop)
    : options_(std::move(options)), loop_(loop), keep_(options_.keep) {}

MeshWatch::~MeshWatch() = default;

void MeshWatch::Start() {
  if (options_.address.empty()) return;
  if (auto kept = ReadKept(); kept != nullptr) {
    loop_.Post([this, view = std::move(kept)] {
      Log(LogLevel::kInfo, "the last view of the mesh is used until the agent sends one",
          {{"version", view->version}, {"path", options_.state_file}});
      options_.on_view(view, RulesInForce::Source::kDisk);
      Spoke();
    });
  }
  MeshClient::Callbacks callbacks;
  callbacks.on_view = [this](std::shared_ptr<const MeshUpdate> view) {
    loop_.Post([this, view] { TakeView(view); });
    Keep(view);
  };
  callbacks.on_refused = [this](uint64_t version, const absl::Status& why) {
    loop_.Post([this, version, why] { Refuse(version, why); });
  };
  callbacks.on_ended = [this](const absl::Status& why, absl::Duration wait) {
    loop_.Post([this, why, wait] { Ended(why, wait); });
  };
  // The loop may run before the client is here, and has nothing of it to report to until then.
  loop_.Post([this, callbacks = std::move(callbacks)]() mutable {
    client_ = std::make_unique<MeshClient>(options_.address, std::move(callbacks), options_.client);
    Report();
  });
}

std::shared_ptr<const MeshUpdate> MeshWatch::ReadKept() const {
  if (options_.address.empty() || options_.state_file.empty()) return nullptr;
  const auto kept = ReadKeptView(options_.state_file);
  if (kept.ok()) return *kept;
  if (!absl::IsNotFound(kept.status())) {
    Log(LogLevel::kError, "the kept view of the mesh is not used",
        {{"path", options_.state_file}, {"error", kept.status()}});
  }
  return nullptr;
}

// On the stream's thread, which sends the status: what is acknowledged was kept before, if it can be.
void MeshWatch::Keep(std::shared_ptr<const MeshUpdate> view) {
  if (options_.state_file.empty()) return;
  absl::MutexLock lock(&keep_mutex_);
  if (keep_) return Write(*view);
  unkept_ = std::move(view);
}

void MeshWatch::KeepViews(bool keep) {
  absl::MutexLock lock(&keep_mutex_);
  keep_ = keep;
  if (!keep_ || unkept_ == nullptr) return;
  Write(*unkept_);
  unkept_.reset();
}

void MeshWatch::Write(const MeshUpdate& view) {
  const absl::Status kept = WriteKeptView(options_.state_file, view);
  if (kept.ok() || keep_failures_.fetch_add(1, std::memory_order_relaxed) > 0) return;
  Log(LogLevel::kWarning,
      "no view of the mesh is kept: started without its agent this proxy would wait; let mesh.state_file name a file "
      "that it may write",
      {{"path", options_.state_file}, {"error", kept}});
}

void MeshWatch::TakeView(std::shared_ptr<const MeshUpdate> view) {
  connected_ = true;
  last_error_.clear();
  ++views_;
  received_at_ = options_.clock->Now();
  status_.refused_view_version = 0;
  status_.refused_view_error.clear();
  if (view->version < newest_) {
    Log(LogLevel::kWarning, "the agent went back to an older view of the mesh",
        {{"version", view->version}, {"before", newest_}});
  }
  newest_ = view->version;
  Log(LogLevel::kInfo, "view of the mesh",
      {{"version", view->version},
       {"speaks_of_this_workload", view->has_rules},
       {"inbound_rules", view->inbound.rules().size()},
       {"routes", view->routes.size()},
       {"bans", view->bans.size()}});
  options_.on_view(std::move(view), RulesInForce::Source::kAgent);
  Spoke();
  Report();
}

void MeshWatch::Spoke() {
  if (!std::exchange(spoken_, true) && options_.on_first_word) options_.on_first_word();
}

void MeshWatch::Refuse(uint64_t version, const absl::Status& why) {
  ++refused_;
  if (status_.refused_view_version == version && status_.refused_view_error == why.message()) return;
  status_.refused_view_version = version;
  status_.refused_view_error = std::string(why.message());
  Log(LogLevel::kError, "view of the mesh refused: the one before stays", {{"version", version}, {"error", why}});
  Report();
}

void MeshWatch::Ended(const absl::Status& why, absl::Duration wait) {
  connected_ = false;
  if (last_error_ == why.message()) return;  // said once
  last_error_ = std::string(why.message());
  if (absl::IsUnimplemented(why)) {
    Spoke();
    Log(LogLevel::kInfo, "the Workload API's agent knows no mesh: policies, routes and bans are those of the file",
        {{"address", options_.address}, {"asked_again_in", absl::FormatDuration(wait)}});
    return;
  }
  Log(LogLevel::kWarning, "no view of the mesh from the agent: what is known stays",
      {{"address", options_.address}, {"error", why}, {"retry_in", absl::FormatDuration(wait)}});
}

void MeshWatch::Report() {
  if (client_ != nullptr) client_->Report(status_);
}

void MeshWatch::Applied(uint64_t view_version) {
  if (status_.view_version == view_version) return;
  status_.view_version = view_version;
  Report();
}

void MeshWatch::Shows(const std::string& spiffe_id, const std::string& serial, absl::Time not_after) {
  status_.spiffe_id = spiffe_id;
  status_.serial = serial;
  status_.not_after = not_after;
  Report();
}

void MeshWatch::OpenConnections(uint64_t count) {
  if (status_.open_connections == count) return;
  status_.open_connections = count;
  Report();
}

// What is told before there is a client is told again soon.
void MeshWatch::Observed(std::shared_ptr<const ObservedReport> report) {
  if (client_ != nullptr) client_->Report(std::move(report));
}

}  // namespace lanyard
