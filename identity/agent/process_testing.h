// Processes for tests of who calls.
#pragma once

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <memory>
#include <string>

#include "identity/channel/local_server.h"

namespace lanyard {

inline int PidfdOpen(pid_t pid) { return static_cast<int>(syscall(SYS_pidfd_open, pid, 0)); }

// A peer that is this test.
inline std::shared_ptr<const LocalPeer> SelfPeer() {
  return std::make_shared<const LocalPeer>(getpid(), getuid(), getgid(), PidfdOpen(getpid()));
}

// A child that does nothing until it is ended; ended and reaped at the latest with this value.
class IdleChild {
 public:
  IdleChild() : pid_(fork()) {
    if (pid_ != 0) return;
    for (;;) pause();
  }
  // Runs `binary`, whose arguments must keep it running.
  explicit IdleChild(const std::string& binary, const char* argument) {
    int until_exec[2] = {-1, -1};
    if (pipe2(until_exec, O_CLOEXEC) != 0) abort();
    pid_ = fork();
    if (pid_ == 0) {
      execl(binary.c_str(), binary.c_str(), argument, nullptr);
      _exit(127);
    }
    close(until_exec[1]);
    char byte;
    (void)!read(until_exec[0], &byte, 1);  // which ends when it runs: until then the child is this test
    close(until_exec[0]);
  }
  ~IdleChild() { End(); }
  IdleChild(const IdleChild&) = delete;

  pid_t pid() const { return pid_; }
  std::shared_ptr<const LocalPeer> Peer() const {
    return std::make_shared<const LocalPeer>(pid_, getuid(), getgid(), PidfdOpen(pid_));
  }
  // Exited and reaped when it returns: the pid is free to be used again.
  void End() {
    if (pid_ <= 0) return;
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
    pid_ = -1;
  }

 private:
  pid_t pid_;
};

}  // namespace lanyard
