#include "identity/base/process.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "identity/base/cgroup_quota.h"
#include "identity/base/logging.h"

namespace lanyard {
namespace {

int WaitFor(const sigset_t& set) {
  int signal_number = 0;
  while (sigwait(&set, &signal_number) != 0) {
  }
  return signal_number;
}

sigset_t StopSignals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  return set;
}

// Asked of the kernel by trying, with no room to lock anything but by right: the root of a user namespace has
// CAP_IPC_LOCK in name only.
bool MayLockWithoutLimit() {
  rlimit limit;
  if (getrlimit(RLIMIT_MEMLOCK, &limit) != 0) return false;
  if (limit.rlim_cur == RLIM_INFINITY) return true;
  const size_t page_bytes = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  void* page = mmap(nullptr, page_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  const rlimit nothing = {0, limit.rlim_max};
  if (page == MAP_FAILED || setrlimit(RLIMIT_MEMLOCK, &nothing) != 0) return false;
  const bool may = syscall(SYS_mlock, page, page_bytes) == 0;
  munmap(page, page_bytes);
  return setrlimit(RLIMIT_MEMLOCK, &limit) == 0 && may;
}

// BoringSSL keeps keys on its own heap, which only this keeps from swap. Under a limit it would make a later
// allocation fail, so there it is left alone; Secret still locks what it holds.
void LockMemory() {
  if (!MayLockWithoutLimit()) return;
  // By number: the sanitizers replace the library's call by nothing.
  syscall(SYS_mlockall, MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT);
}

}  // namespace

absl::Status HardenProcess() {
  if (prctl(PR_SET_DUMPABLE, 0) != 0) return absl::ErrnoToStatus(errno, "cannot forbid core dumps (PR_SET_DUMPABLE)");
  const rlimit no_core = {0, 0};
  if (setrlimit(RLIMIT_CORE, &no_core) != 0) return absl::ErrnoToStatus(errno, "cannot set RLIMIT_CORE to 0");
  rlimit files;
  if (getrlimit(RLIMIT_NOFILE, &files) != 0) return absl::ErrnoToStatus(errno, "cannot read RLIMIT_NOFILE");
  files.rlim_cur = files.rlim_max;
  if (setrlimit(RLIMIT_NOFILE, &files) != 0) return absl::ErrnoToStatus(errno, "cannot raise RLIMIT_NOFILE");
  if (signal(SIGPIPE, SIG_IGN) == SIG_ERR) return absl::ErrnoToStatus(errno, "cannot ignore SIGPIPE");
  LockMemory();
  return absl::OkStatus();
}

void BlockStopSignals() {
  const sigset_t set = StopSignals();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
}

int WaitForStopSignal() { return WaitFor(StopSignals()); }

void BlockReloadSignal() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGHUP);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
}

int WaitForStopOrReloadSignal() {
  sigset_t set = StopSignals();
  sigaddset(&set, SIGHUP);
  return WaitFor(set);
}

void BlockStopAndReloadSignals() {
  BlockStopSignals();
  BlockReloadSignal();
}

int WaitForStopIgnoringReload() {
  int signal_number = WaitForStopOrReloadSignal();
  for (; signal_number == SIGHUP; signal_number = WaitForStopOrReloadSignal()) {
    Log(LogLevel::kWarning,
        "SIGHUP changes nothing: the configuration is read at the start only; restart to change it");
  }
  return signal_number;
}

int AvailableProcessors() {
  double available = static_cast<double>(std::max(1L, sysconf(_SC_NPROCESSORS_ONLN)));
  cpu_set_t affinity;
  if (sched_getaffinity(0, sizeof(affinity), &affinity) == 0) available = CPU_COUNT(&affinity);
  if (const std::optional<double> quota = CgroupCpuQuota("")) available = std::min(available, *quota);
  return std::max(1, static_cast<int>(std::ceil(available)));
}

}  // namespace lanyard
