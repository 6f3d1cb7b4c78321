#include "identity/admin/process_stats.h"

#include <dirent.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdio>

namespace lanyard {
namespace {

uint64_t CountEntries(const char* folder) {
  DIR* directory = opendir(folder);
  if (directory == nullptr) return 0;
  uint64_t count = 0;
  while (const dirent* entry = readdir(directory)) {
    if (entry->d_name[0] != '.') ++count;
  }
  closedir(directory);
  return count;
}

uint64_t ResidentBytes() {
  FILE* file = fopen("/proc/self/statm", "re");
  if (file == nullptr) return 0;
  unsigned long size_pages = 0, resident_pages = 0;
  const int read = fscanf(file, "%lu %lu", &size_pages, &resident_pages);
  fclose(file);
  return read == 2 ? resident_pages * static_cast<uint64_t>(sysconf(_SC_PAGESIZE)) : 0;
}

double Seconds(const timeval& time) {
  return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
}

}  // namespace

ProcessStats ReadProcessStats() {
  ProcessStats stats;
  rusage usage;
  if (getrusage(RUSAGE_SELF, &usage) == 0) stats.cpu_seconds = Seconds(usage.ru_utime) + Seconds(usage.ru_stime);
  stats.resident_memory_bytes = ResidentBytes();
  const uint64_t fds = CountEntries("/proc/self/fd");
  stats.open_fds = fds > 0 ? fds - 1 : 0;  // without the one that counts
  rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) stats.max_fds = limit.rlim_cur;
  stats.threads = CountEntries("/proc/self/task");
  return stats;
}

}  // namespace lanyard
