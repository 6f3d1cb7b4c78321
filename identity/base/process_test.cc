#include "identity/base/process.h"

#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <fstream>
#include <string>
#include <thread>

#include "gtest/gtest.h"

namespace lanyard {
namespace {

TEST(HardenProcess, ForbidsDumpsRaisesDescriptorsIgnoresSigpipe) {
  ASSERT_TRUE(HardenProcess().ok());
  EXPECT_EQ(prctl(PR_GET_DUMPABLE), 0);
  rlimit limit;
  ASSERT_EQ(getrlimit(RLIMIT_CORE, &limit), 0);
  EXPECT_EQ(limit.rlim_max, 0u);
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
  EXPECT_EQ(limit.rlim_cur, limit.rlim_max);
  int pipe_ends[2];
  ASSERT_EQ(pipe(pipe_ends), 0);
  close(pipe_ends[0]);
  EXPECT_EQ(write(pipe_ends[1], "x", 1), -1);  // without the SIGPIPE that would end this test
  close(pipe_ends[1]);
}

TEST(HardenProcess, LocksMemoryWhereItMay) {
  rlimit limit;
  ASSERT_EQ(getrlimit(RLIMIT_MEMLOCK, &limit), 0);
  ASSERT_TRUE(HardenProcess().ok());
  std::ifstream status("/proc/self/status");
  std::string word;
  size_t locked_kb = 0;
  while (status >> word) {
    if (word == "VmLck:") status >> locked_kb;
  }
  // Only by right: with nothing left of the limit, the kernel still lets root lock, but not a container's root.
  const rlimit nothing = {0, limit.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_MEMLOCK, &nothing), 0);
  static char byte;
  const bool by_right = syscall(SYS_mlock, &byte, 1) == 0;
  ASSERT_EQ(setrlimit(RLIMIT_MEMLOCK, &limit), 0);
  EXPECT_EQ(locked_kb > 0, by_right || limit.rlim_cur == RLIM_INFINITY);
  std::thread([] {}).join();  // which needs memory
}

TEST(WaitForStopSignal, ReturnsWhatArrives) {
  BlockStopSignals();
  for (int number : {SIGTERM, SIGINT}) {
    std::thread sender([number] { kill(getpid(), number); });
    EXPECT_EQ(WaitForStopSignal(), number);
    sender.join();
  }
}

TEST(AvailableProcessors, FollowsTheAffinity) {
  cpu_set_t before, one;
  ASSERT_EQ(sched_getaffinity(0, sizeof(before), &before), 0);
  EXPECT_GE(AvailableProcessors(), 1);
  EXPECT_LE(AvailableProcessors(), CPU_COUNT(&before));
  int first = 0;
  while (!CPU_ISSET(first, &before)) ++first;
  CPU_ZERO(&one);
  CPU_SET(first, &one);
  ASSERT_EQ(sched_setaffinity(0, sizeof(one), &one), 0);
  EXPECT_EQ(AvailableProcessors(), 1);
  ASSERT_EQ(sched_setaffinity(0, sizeof(before), &before), 0);
}

TEST(Process, AHangUpIsToldApartFromTheSignalsThatStop) {
  BlockStopSignals();
  BlockReloadSignal();
  ASSERT_EQ(kill(getpid(), SIGHUP), 0);
  EXPECT_EQ(WaitForStopOrReloadSignal(), SIGHUP);
  ASSERT_EQ(kill(getpid(), SIGTERM), 0);
  EXPECT_EQ(WaitForStopOrReloadSignal(), SIGTERM);
}

TEST(Process, AHangUpEndsNobodyWhoReadsItsConfigurationOnce) {
  BlockStopAndReloadSignals();
  ASSERT_EQ(kill(getpid(), SIGHUP), 0);
  std::thread sender([] { kill(getpid(), SIGTERM); });
  EXPECT_EQ(WaitForStopIgnoringReload(), SIGTERM);
  sender.join();
}

}  // namespace
}  // namespace lanyard
