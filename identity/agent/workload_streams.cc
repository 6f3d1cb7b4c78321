#include "identity/agent/workload_streams.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "identity/base/logging.h"

namespace lanyard {
namespace {

std::string UtcTime(absl::Time time) { return absl::FormatTime(absl::RFC3339_sec, time, absl::UTCTimeZone()); }

// It shows what it has been sent the rules of, and has an entry for it no longer.
bool OutlivesShown(const std::optional<SpiffeId>& shown, const std::optional<MeshAnswer>& sent,
                   const std::vector<SpiffeId>& ids) {
  return shown.has_value() && sent.has_value() && sent->spiffe_id == shown &&
         std::find(ids.begin(), ids.end(), *shown) == ids.end();
}

}  // namespace

absl::StatusOr<std::unique_ptr<WorkloadStreams>> WorkloadStreams::Start(
    Options options, std::function<std::shared_ptr<const WorkloadView>()> view, ProcessInfo& processes,
    const Clock& clock) {
  absl::StatusOr<std::unique_ptr<CallerWatch>> watch = CallerWatch::Create();
  if (!watch.ok()) return watch.status();
  return std::unique_ptr<WorkloadStreams>(
      new WorkloadStreams(options, std::move(view), processes, clock, *std::move(watch)));
}

WorkloadStreams::WorkloadStreams(Options options, std::function<std::shared_ptr<const WorkloadView>()> view,
                                 ProcessInfo& processes, const Clock& clock, std::unique_ptr<CallerWatch> watch)
    : options_(options),
      view_(std::move(view)),
      clock_(clock),
      watch_(std::move(watch)),
      recognition_(std::make_unique<CallerRecognition>(processes, options.recognition)) {
  thread_ = std::thread([this] { Run(); });
}

WorkloadStreams::~WorkloadStreams() {
  Stop();
  thread_.join();
  // Its threads report to this object: they end before anything else of it does.
  recognition_.reset();
}

void WorkloadStreams::Stop() {
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
  }
  watch_->Wake();
}

void WorkloadStreams::Changed() { watch_->Wake(); }

bool WorkloadStreams::TakeSlot(uid_t uid, uint64_t& id) {
  absl::MutexLock lock(&mutex_);
  size_t& of_uid = slots_by_uid_[uid];
  if (stopping_ || slots_.size() >= options_.max_streams || of_uid >= options_.max_streams_per_uid) {
    ++stats_.refused_limit;
    if (of_uid == 0) slots_by_uid_.erase(uid);
    return false;
  }
  ++of_uid;
  id = next_id_++;
  slots_[id] = uid;
  return true;
}

absl::StatusOr<uint64_t> WorkloadStreams::Add(Kind kind, std::shared_ptr<const LocalPeer> peer,
                                              std::shared_ptr<WorkloadCall> call) {
  uint64_t id = 0;
  if (!TakeSlot(peer->uid(), id)) {
    Log(LogLevel::kWarning, "call refused: too many are open", {{"pid", peer->pid()}, {"uid", peer->uid()}});
    return absl::UnavailableError("too many calls are open; close some and try again");
  }
  {
    absl::MutexLock lock(&mutex_);
    added_.emplace(id, Stream{.kind = kind,
                              .peer = std::move(peer),
                              .call = std::move(call),
                              .wanted = std::make_shared<int>(),
                              .selectors = std::nullopt,
                              .unknown = {},
                              .sent = std::nullopt,
                              .sent_mesh = std::nullopt,
                              .outlived = false,
                              .logged = {}});
  }
  watch_->Wake();
  return id;
}

void WorkloadStreams::Remove(uint64_t id) {
  {
    absl::MutexLock lock(&mutex_);
    const auto slot = slots_.find(id);
    if (slot == slots_.end()) return;
    const auto of_uid = slots_by_uid_.find(slot->second);
    if (--of_uid->second == 0) slots_by_uid_.erase(of_uid);
    slots_.erase(slot);
    removed_.push_back(id);
  }
  watch_->Wake();
}

void WorkloadStreams::Shows(uint64_t id, SpiffeId spiffe_id) {
  {
    absl::MutexLock lock(&mutex_);
    shown_.emplace_back(id, std::move(spiffe_id));
  }
  watch_->Wake();
}

WorkloadStreams::Stats WorkloadStreams::stats() const {
  absl::MutexLock lock(&mutex_);
  Stats stats = stats_;
  stats.open = slots_.size();
  return stats;
}

void WorkloadStreams::Run() {
  for (;;) {
    for (const uint64_t id : watch_->Wait(UntilNextDeadline())) {
      End(id, absl::PermissionDeniedError("the process that connected has exited"));
    }
    {
      absl::MutexLock lock(&mutex_);
      if (stopping_) break;
    }
    TakeInbox();
    AnswerAll();
  }
  TakeInbox();
  while (!streams_.empty()) End(streams_.begin()->first, absl::UnavailableError("the agent is stopping"));
}

void WorkloadStreams::TakeInbox() {
  std::map<uint64_t, Stream> added;
  std::vector<uint64_t> removed;
  std::vector<Recognized> recognized;
  std::vector<std::pair<uint64_t, SpiffeId>> shown;
  {
    absl::MutexLock lock(&mutex_);
    added.swap(added_);
    removed.swap(removed_);
    recognized.swap(recognized_);
    shown.swap(shown_);
  }
  for (auto& [id, stream] : added) Begin(id, std::move(stream));
  for (const uint64_t id : removed) {
    watch_->Remove(id);
    streams_.erase(id);
  }
  for (auto& [id, spiffe_id] : shown) {
    const auto found = streams_.find(id);
    if (found == streams_.end()) continue;
    found->second.shown = std::move(spiffe_id);
    if (current_ != nullptr && found->second.selectors.has_value()) Answer(id, found->second);
  }
  for (Recognized& one : recognized) {
    const auto found = streams_.find(one.id);
    if (found == streams_.end()) continue;
    if (!one.caller.ok()) {
      End(one.id, one.caller.status());
      continue;
    }
    Stream& stream = found->second;
    stream.recognizing = false;
    stream.unknown = std::move(one.caller->unknown);
    // The second time for its hash alone: what a caller was recognised by holds for as long as it calls.
    if (stream.selectors.has_value()) one.caller->selectors.merge(*stream.selectors);
    stream.selectors = std::move(one.caller->selectors);
    stream.hashed = one.caller->hashed;
    if (current_ != nullptr) Answer(one.id, stream);
  }
}

void WorkloadStreams::Begin(uint64_t id, Stream stream) {
  const absl::Status watched = watch_->Add(id, stream.peer);
  if (!watched.ok() || view_() == nullptr) {
    stream.call->End(watched.ok() ? absl::UnavailableError("the agent has not heard from the authority yet; try again")
                                  : absl::UnavailableError(watched.message()));
    watch_->Remove(id);
    return;
  }
  const auto added = streams_.emplace(id, std::move(stream)).first;
  Recognize(id, added->second);
}

bool WorkloadStreams::Recognize(uint64_t id, Stream& stream) {
  stream.recognizing = true;
  stream.deadline = absl::InfiniteDuration();
  const bool submitted = recognition_->Submit(
      stream.peer, stream.wanted, [view = view_()](const SelectorSet& caller) { return WantsSha256(*view, caller); },
      [this, id](absl::StatusOr<CallerRecognition::Caller> caller) {
        {
          absl::MutexLock lock(&mutex_);
          recognized_.push_back({id, std::move(caller)});
        }
        watch_->Wake();
      });
  if (submitted) return true;
  {
    absl::MutexLock lock(&mutex_);
    ++stats_.refused_limit;
  }
  End(id, absl::UnavailableError("too many callers at once; try again"));
  return false;
}

void WorkloadStreams::AnswerAll() {
  std::shared_ptr<const WorkloadView> latest = view_();
  const bool changed = latest != current_;
  if (changed) {
    current_ = std::move(latest);
    wants_sha256_ = WantsSha256(*current_);
  }
  const absl::Duration now = clock_.Monotonic();
  for (auto next = streams_.begin(); next != streams_.end();) {
    const auto stream = next++;  // ending a stream erases it
    if (stream->second.selectors.has_value() && (changed || stream->second.deadline <= now)) {
      Answer(stream->first, stream->second);
    }
  }
}

void WorkloadStreams::Answer(uint64_t id, Stream& stream) {
  // An entry that asks for the caller's hash came after the caller did. That holds back the first answer only.
  const bool answered = stream.sent.has_value() || stream.sent_mesh.has_value();
  const bool lacks_hash = wants_sha256_ && !stream.hashed && WantsSha256(*current_, *stream.selectors);
  if (!stream.recognizing && lacks_hash && !Recognize(id, stream)) return;
  if (stream.recognizing && !answered) return;
  if (stream.kind == Kind::kMesh) return AnswerMesh(id, stream);
  absl::StatusOr<WorkloadAnswer> answer = AnswerFor(*current_, *stream.selectors, clock_.Now());
  if (!answer.ok() && stream.recognizing) return;  // what it has may be its own by the hash
  if (!answer.ok()) return End(id, RefusalOf(*current_, *stream.selectors, stream.unknown, answer.status()));
  const bool has_something = stream.kind == Kind::kBundles || !answer->identities.empty();
  const bool worth_waiting = stream.kind == Kind::kSvids && !answer->complete && !stream.sent.has_value();
  if (has_something && !worth_waiting) return Deliver(stream, *std::move(answer));
  if (stream.recognizing) return;

  const absl::Duration now = clock_.Monotonic();
  if (stream.deadline == absl::InfiniteDuration()) stream.deadline = now + options_.answer_timeout;
  if (now < stream.deadline) return;
  if (has_something) return Deliver(stream, *std::move(answer));
  End(id, absl::UnavailableError("no valid SVID could be had from the authority in time; try again"));
}

void WorkloadStreams::AnswerMesh(uint64_t id, Stream& stream) {
  const absl::StatusOr<std::vector<SpiffeId>> ids = IdsFor(*current_, *stream.selectors);
  if (!ids.ok() && stream.recognizing) return;
  if (!ids.ok() && !stream.sent_mesh.has_value()) {
    return End(id, RefusalOf(*current_, *stream.selectors, stream.unknown, ids.status()));
  }
  if (current_->mesh == nullptr) {
    return End(id, absl::UnavailableError("nothing is known of policies, routes and bans yet; try again"));
  }
  const bool outlived = !ids.ok() || OutlivesShown(stream.shown, stream.sent_mesh, *ids);
  if (outlived && !stream.outlived) {
    Log(LogLevel::kInfo, "the entries of a proxy's workload are gone: it keeps its last rules and hears of bans",
        {{"pid", stream.peer->pid()}, {"uid", stream.peer->uid()}});
  }
  stream.outlived = outlived;
  MeshAnswer answer = outlived ? MeshAnswerAfter(*current_->mesh, *stream.sent_mesh)
                               : MeshAnswerFor(*current_->mesh, *ids, stream.shown);
  if (stream.sent_mesh == answer || !stream.peer->Alive()) return;
  stream.sent_mesh = answer;
  Send(stream, {.workload = std::nullopt, .mesh = std::move(answer)});
}

void WorkloadStreams::Deliver(Stream& stream, WorkloadAnswer answer) {
  stream.deadline = absl::InfiniteDuration();
  std::string version = stream.kind == Kind::kBundles ? answer.bundles.ContentVersion() : answer.Version();
  if (stream.sent == version) return;
  // Its exit is reported by the watch in a moment; until then it gets nothing.
  if (!stream.peer->Alive()) return;
  stream.sent = std::move(version);
  if (stream.kind == Kind::kSvids) {
    std::set<std::string> serials;
    for (const WorkloadAnswer::Identity& identity : answer.identities) {
      const std::string& serial = *serials.insert(identity.svid.leaf().serial()).first;
      if (stream.logged.contains(serial)) continue;
      Log(LogLevel::kInfo, "SVID handed out",
          {{"pid", stream.peer->pid()}, {"uid", stream.peer->uid()}, {"spiffe_id", identity.svid.id().ToString()},
           {"serial", serial}, {"entry", identity.entry_id}, {"expires", UtcTime(identity.svid.not_after())}});
    }
    stream.logged = std::move(serials);
  }
  Send(stream, {.workload = std::move(answer), .mesh = std::nullopt});
}

void WorkloadStreams::Send(Stream& stream, StreamAnswer answer) {
  stream.peer->SetEntitled();
  {
    absl::MutexLock lock(&mutex_);
    ++stats_.answers_sent;
  }
  stream.call->Send(std::make_shared<const StreamAnswer>(std::move(answer)));
}

void WorkloadStreams::End(uint64_t id, const absl::Status& status) {
  const auto found = streams_.find(id);
  if (found == streams_.end()) return;
  if (absl::IsPermissionDenied(status)) {
    Log(LogLevel::kInfo, "call refused",
        {{"pid", found->second.peer->pid()}, {"uid", found->second.peer->uid()}, {"reason", status}});
  }
  found->second.call->End(status);
  watch_->Remove(id);
  streams_.erase(found);
}

absl::Duration WorkloadStreams::UntilNextDeadline() const {
  absl::Duration next = absl::InfiniteDuration();
  for (const auto& [id, stream] : streams_) next = std::min(next, stream.deadline);
  return next - clock_.Monotonic();
}

}  // namespace lanyard
