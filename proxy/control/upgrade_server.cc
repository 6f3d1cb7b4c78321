#include "proxy/control/upgrade_server.h"

#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "identity/base/logging.h"
#include "proxy/io/local_listener.h"

namespace lanyard {
namespace {

using Json = nlohmann::ordered_json;

// After an accept that failed for want of something: at once it would only fail again.
constexpr int kRetryMs = 200;

bool WaitFor(int fd, short events, int timeout_ms) {
  pollfd watched = {.fd = fd, .events = events, .revents = 0};
  return poll(&watched, 1, timeout_ms) > 0;
}

}  // namespace

absl::StatusOr<UpgradeRequest> ParseUpgradeRequest(absl::string_view line) {
  const Json json = Json::parse(line.begin(), line.end(), nullptr, false);
  if (!json.is_object()) return absl::InvalidArgumentError("an order is one line with a JSON object");
  UpgradeRequest request;
  for (const auto& [key, value] : json.items()) {
    if ((key == "binary" || key == "config") && value.is_string()) {
      (key == "binary" ? request.binary : request.config) = value.get<std::string>();
    } else if (key == "timeout_ms" && value.is_number_unsigned() &&
               value.get<uint64_t>() <= static_cast<uint64_t>(absl::ToInt64Milliseconds(UpgradeServer::kMaxTimeout))) {
      request.timeout = absl::Milliseconds(value.get<int64_t>());
    } else {
      return absl::InvalidArgumentError(absl::StrCat("\"", key.substr(0, 64), "\" is no part of an order, or wrong"));
    }
  }
  if (request.timeout <= absl::ZeroDuration()) return absl::InvalidArgumentError("\"timeout_ms\" is missing");
  return request;
}

UpgradeServer::UpgradeServer(Options options)
    : options_(std::move(options)), wake_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

UpgradeServer::~UpgradeServer() { Stop(); }

void UpgradeServer::Start() {
  std::lock_guard<std::mutex> lock(mutex_);
  if (started_ || stopping_) return;
  started_ = true;
  thread_ = std::thread([this] {
    pthread_setname_np(pthread_self(), "upgrade");
    Run();
  });
}

void UpgradeServer::Stop() {
  std::lock_guard<std::mutex> lock(mutex_);
  if (stopping_.exchange(true)) return;
  const uint64_t one = 1;
  if (write(wake_.get(), &one, sizeof(one)) != sizeof(one)) return;  // an eventfd takes it
  if (thread_.joinable()) thread_.join();
  if (started_ && !upgraded_) unlink(options_.path.c_str());
}

void UpgradeServer::Run() {
  while (!stopping_ && !upgraded_) {
    pollfd watched[] = {{.fd = options_.listener.get(), .events = POLLIN, .revents = 0},
                        {.fd = wake_.get(), .events = POLLIN, .revents = 0}};
    poll(watched, 2, -1);
    if (stopping_) return;
    const absl::StatusOr<LocalCaller> caller = AcceptLocalCaller(options_.listener.get());
    if (caller.ok()) {
      Serve(caller->fd.get(), caller->uid);
    } else if (absl::IsPermissionDenied(caller.status())) {
      Log(LogLevel::kWarning, "an order to upgrade was refused", {{"error", caller.status()}});
    } else if (!absl::IsUnavailable(caller.status())) {
      WaitFor(wake_.get(), POLLIN, kRetryMs);
    }
  }
}

void UpgradeServer::Serve(int caller, uid_t uid) {
  const absl::StatusOr<pid_t> pid = Answer(caller, uid);
  Json answer;
  if (pid.ok()) {
    upgraded_ = true;
    answer = {{"pid", *pid}};
    Log(LogLevel::kInfo, "upgraded: another process serves now", {{"pid", *pid}});
  } else {
    answer = {{"error", std::string(pid.status().message())}};
    Log(LogLevel::kError, "not upgraded: this process goes on", {{"error", pid.status()}});
  }
  const std::string line = answer.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
  if (send(caller, line.data(), line.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(line.size())) {
    Log(LogLevel::kWarning, "who asked for the upgrade did not wait for the answer", {});
  }
  if (pid.ok()) options_.on_upgraded();
}

absl::StatusOr<pid_t> UpgradeServer::Answer(int caller, uid_t uid) {
  const absl::StatusOr<std::string> line = ReadLine(caller);
  if (!line.ok()) return line.status();
  const absl::StatusOr<UpgradeRequest> request = ParseUpgradeRequest(*line);
  if (!request.ok()) return request.status();
  if (uid != 0 && (!request->binary.empty() || !request->config.empty())) {
    return absl::PermissionDeniedError("only root may name another binary or configuration");
  }
  return options_.upgrade(*request);
}

absl::StatusOr<std::string> UpgradeServer::ReadLine(int caller) {
  std::string line;
  const int step_ms = 100;
  for (int64_t left_ms = absl::ToInt64Milliseconds(kRequestTimeout); left_ms > 0 && !stopping_;) {
    if (!WaitFor(caller, POLLIN, step_ms)) {
      left_ms -= step_ms;
      continue;
    }
    char bytes[1024];
    const ssize_t size = recv(caller, bytes, sizeof(bytes), MSG_DONTWAIT);
    if (size <= 0) return absl::InvalidArgumentError("the caller left without an order");
    line.append(bytes, static_cast<size_t>(size));
    if (line.find('\n') != std::string::npos) return line.substr(0, line.find('\n'));
    if (line.size() > kMaxRequestBytes) return absl::InvalidArgumentError("the order is too long");
  }
  return absl::DeadlineExceededError("no order came in time");
}

}  // namespace lanyard
