#include "identity/admin/process_stats.h"

#include <fcntl.h>
#include <unistd.h>

#include "gtest/gtest.h"

namespace lanyard {
namespace {

TEST(ProcessStats, AreThoseOfThisProcess) {
  const ProcessStats stats = ReadProcessStats();
  EXPECT_GT(stats.cpu_seconds, 0);
  EXPECT_GT(stats.resident_memory_bytes, 100u << 10);
  EXPECT_GE(stats.open_fds, 3u);
  EXPECT_GE(stats.max_fds, stats.open_fds);
  EXPECT_GE(stats.threads, 1u);
}

TEST(ProcessStats, AnOpenedFileCounts) {
  const uint64_t before = ReadProcessStats().open_fds;
  const int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
  ASSERT_GE(fd, 0);
  EXPECT_EQ(ReadProcessStats().open_fds, before + 1);
  close(fd);
}

}  // namespace
}  // namespace lanyard
