#include "proxy/control/file_watch.h"

#include <sys/stat.h>

#include <utility>

namespace lanyard {

FileWatch::FileWatch(std::vector<std::string> paths) : paths_(std::move(paths)) {}

FileWatch::Stamp FileWatch::StampOf(const std::string& path) {
  struct stat status;
  if (stat(path.c_str(), &status) != 0) return {};
  const auto nanoseconds = [](const timespec& time) { return int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec; };
  return {true, status.st_dev, status.st_ino, status.st_size, nanoseconds(status.st_mtim), nanoseconds(status.st_ctim)};
}

bool FileWatch::Poll() {
  std::vector<Stamp> now;
  now.reserve(paths_.size());
  for (const std::string& path : paths_) now.push_back(StampOf(path));
  const bool first = seen_.empty();
  const bool settled = now == seen_;
  seen_ = std::move(now);
  if (first) return true;
  if (!settled || seen_ == delivered_) return false;
  delivered_ = seen_;
  return true;
}

}  // namespace lanyard
