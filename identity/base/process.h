// What a Lanyard process does to itself at its start, and how it is told to stop.
#pragma once

#include "absl/status/status.h"

namespace lanyard {

// Private keys must not reach a core dump, a debugger of the same uid, or swap:
// PR_SET_DUMPABLE 0, RLIMIT_CORE 0, and mlockall of what is touched, where the process may lock without limit
// (CAP_IPC_LOCK or RLIMIT_MEMLOCK unlimited); MADV_DONTDUMP and mlock of each Secret anyway (secret.h).
// Also raises the soft limit of descriptors to the hard one and ignores SIGPIPE.
// Call first in main, before any key is read.
absl::Status HardenProcess();

// Blocks SIGTERM and SIGINT for this and every later thread; call before making threads.
// WaitForStopSignal then returns the number of the first that arrives.
void BlockStopSignals();
int WaitForStopSignal();

// The same with SIGHUP, for who does something else than end by it.
void BlockReloadSignal();
int WaitForStopOrReloadSignal();

// For who reads its configuration at its start only, and must not end with the terminal that started it: blocks
// SIGHUP too, and says in the log, for each that arrives, that nothing was read anew. The number of the stop signal.
void BlockStopAndReloadSignals();
int WaitForStopIgnoringReload();

// Processors this process may use: its affinity and its cgroup's CPU quota (v1 and v2),
// rounded up, at least 1.
int AvailableProcessors();

}  // namespace lanyard
