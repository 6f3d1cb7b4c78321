#include "proxy/control/hand_over.h"

#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "proxy/control/take_over.h"
#include "proxy/io/passage.h"

namespace lanyard {
namespace {

constexpr int kPassageFd = 3;
// How often it is asked whether this one is to stop.
constexpr absl::Duration kCancelCheck = absl::Milliseconds(100);
// From "go" until it serves: it only begins to accept.
constexpr absl::Duration kServingDeadline = absl::Seconds(15);

// The next process: ended with its scope unless it was let go.
class Child {
 public:
  explicit Child(pid_t pid) : pid_(pid) {}
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child() {
    if (pid_ <= 0) return;
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  pid_t pid() const { return pid_; }
  pid_t LetGo() { return std::exchange(pid_, 0); }

 private:
  pid_t pid_;
};

// With standard input, output and error, the passage and nothing else; no signal blocked.
absl::StatusOr<pid_t> Spawn(const HandOver& plan, int passage) {
  std::string words[] = {plan.binary, "run", "--config", plan.config, "--take-over", std::to_string(kPassageFd)};
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, passage, kPassageFd);
  posix_spawn_file_actions_addclosefrom_np(&actions, kPassageFd + 1);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none;
  sigemptyset(&none);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
  pid_t pid = -1;
  const int error = posix_spawn(&pid, plan.binary.c_str(), &actions, &attributes, argv.data(), environ);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  if (error == 0) return pid;
  return absl::ErrnoToStatus(error, absl::StrCat(plan.binary, " could not be started"));
}

// What it cannot be told it says itself, or it is gone: the answer is read in any case.
void SendSockets(const HandOver& plan, Passage& passage) {
  if (!passage.Send(kHandOverGreeting).ok()) return;
  for (const HandedSocket& socket : plan.sockets) {
    const std::string text = absl::StrCat("socket\n", socket.kind, "\n", socket.name, "\n", socket.address);
    if (!passage.Send(text, socket.fd).ok()) return;
  }
  passage.Send("end").IgnoreError();
}

// Until it says `wanted`.
absl::Status Await(const HandOver& plan, Passage& passage, absl::string_view wanted, absl::Duration timeout) {
  std::string waits_for;
  for (absl::Duration left = timeout; left > absl::ZeroDuration(); left -= kCancelCheck) {
    if (plan.cancelled()) return absl::CancelledError("this proxy is being stopped");
    const absl::StatusOr<Passage::Message> message = passage.Receive(kCancelCheck);
    if (absl::IsDeadlineExceeded(message.status())) continue;
    if (!message.ok()) return absl::UnavailableError("the new proxy ended before it served; its log says why");
    absl::string_view text = message->text;
    if (text == wanted) return absl::OkStatus();
    if (absl::ConsumePrefix(&text, "failed\n")) return absl::FailedPreconditionError(text);
    if (absl::ConsumePrefix(&text, "waiting\n")) waits_for = std::string(text);
  }
  return absl::DeadlineExceededError(absl::StrCat("the new proxy was not ready within ", absl::FormatDuration(timeout),
                                                  waits_for.empty() ? "" : ": ", waits_for));
}

}  // namespace

absl::StatusOr<Successor> HandOverTo(const HandOver& plan) {
  absl::StatusOr<std::pair<Passage, Passage>> passages = Passage::Pair();
  if (!passages.ok()) return passages.status();
  auto& [ours, theirs] = *passages;
  const absl::StatusOr<pid_t> pid = Spawn(plan, theirs.fd());
  if (!pid.ok()) return pid.status();
  { const Passage closed = std::move(theirs); }  // so that its end is noticed
  Child child(*pid);
  SendSockets(plan, ours);
  if (absl::Status ready = Await(plan, ours, "ready", plan.timeout); !ready.ok()) return ready;
  plan.on_ready();
  absl::Status serves = ours.Send("go");
  if (serves.ok()) serves = Await(plan, ours, "serving", kServingDeadline);
  if (serves.ok()) return Successor{child.LetGo(), std::move(ours)};
  { const Child ended(child.LetGo()); }
  plan.on_failed();
  return serves;
}

}  // namespace lanyard
