#include "proxy/process_testing.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "gtest/gtest.h"

namespace lanyard {
namespace {

std::string BinaryPath() {
  const char* runfiles = getenv("TEST_SRCDIR");
  const char* workspace = getenv("TEST_WORKSPACE");
  EXPECT_TRUE(runfiles != nullptr && workspace != nullptr) << "run this test with bazel test";
  return runfiles == nullptr ? "" : absl::StrCat(runfiles, "/", workspace, "/proxy/lanyard-proxy");
}

pid_t Spawn(const std::vector<std::string>& arguments, int output_fd) {
  std::vector<std::string> words = {BinaryPath()};
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, output_fd, STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, output_fd, STDERR_FILENO);
  pid_t pid = -1;
  EXPECT_EQ(posix_spawn(&pid, argv[0], &actions, nullptr, argv.data(), environ), 0) << argv[0];
  posix_spawn_file_actions_destroy(&actions);
  return pid;
}

}  // namespace

ProxyProcess::ProxyProcess(const std::vector<std::string>& arguments) {
  int ends[2];
  EXPECT_EQ(pipe2(ends, O_CLOEXEC), 0);
  pid_ = Spawn(arguments, ends[1]);
  close(ends[1]);
  reader_ = std::thread([this, fd = ends[0]] { ReadOutput(fd); });
}

ProxyProcess::~ProxyProcess() {
  if (!exit_code_.has_value() && pid_ > 0) {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  reader_.join();
  if (testing::Test::HasFailure()) fputs(output_.c_str(), stderr);
}

void ProxyProcess::ReadOutput(int fd) {
  char bytes[4096];
  ssize_t size;
  while ((size = read(fd, bytes, sizeof(bytes))) > 0) {
    absl::MutexLock lock(&mutex_);
    output_.append(bytes, static_cast<size_t>(size));
  }
  close(fd);
  absl::MutexLock lock(&mutex_);
  ended_ = true;
}

std::string ProxyProcess::AwaitLine(const std::vector<std::string>& parts) {
  std::string found;
  size_t found_end = 0;
  // Evaluated more than once, and on the reader's thread too: it takes nothing.
  const auto arrived = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    size_t end;
    for (size_t start = taken_; (end = output_.find('\n', start)) != std::string::npos; start = end + 1) {
      const std::string line = output_.substr(start, end - start);
      const auto contains = [&](const std::string& part) { return absl::StrContains(line, part); };
      if (!std::all_of(parts.begin(), parts.end(), contains)) continue;
      found_end = end + 1;
      found = line;
      return true;
    }
    return ended_;
  };
  absl::MutexLock lock(&mutex_);
  mutex_.AwaitWithTimeout(absl::Condition(&arrived), kTestPatience);
  if (!found.empty()) taken_ = found_end;
  return found;
}

std::optional<SocketAddress> ProxyProcess::AwaitAddress(const std::string& listener) {
  if (serving_.empty()) serving_ = AwaitLine({"\"serving\""});
  const size_t start = serving_.find(listener == "admin" ? "\"admin\":\"" : listener + "=");
  if (start == std::string::npos) return std::nullopt;
  const std::string rest = serving_.substr(start + (listener == "admin" ? 9 : listener.size() + 1));
  const absl::StatusOr<SocketAddress> address = SocketAddress::Parse(rest.substr(0, rest.find_first_of(" \"")));
  return address.ok() ? std::optional(*address) : std::nullopt;
}

void ProxyProcess::Signal(int signal_number) { EXPECT_EQ(kill(pid_, signal_number), 0); }

int ProxyProcess::AwaitExit() {
  absl::MutexLock lock(&mutex_);
  // Its end of the pipe closes when the process does.
  if (!mutex_.AwaitWithTimeout(absl::Condition(&ended_), kTestPatience)) return -1;
  if (exit_code_.has_value()) return *exit_code_;
  int status = 0;
  if (waitpid(pid_, &status, 0) != pid_) return -1;
  exit_code_ = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  return *exit_code_;
}

std::string ProxyProcess::Output() {
  absl::MutexLock lock(&mutex_);
  return output_;
}

}  // namespace lanyard
