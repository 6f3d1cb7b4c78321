#include "identity/base/line_writer.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"
#include "identity/base/clock.h"

namespace lanyard {

// To a file a line goes in one call, whatever its length, so that those of several processes do not mix.
bool LineWriter::Write(absl::string_view line) {
  absl::MutexLock lock(&mutex_);
  const std::string text = absl::StrCat(torn_ ? "\n" : "", line, "\n");
  const size_t most = IsFile() ? text.size() : size_t{PIPE_BUF};
  size_t done = 0;
  while (done < text.size() && TakesMore()) {
    const ssize_t size = write(fd_, text.data() + done, std::min(text.size() - done, most));
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) break;
    done += static_cast<size_t>(size);
  }
  if (done > 0) torn_ = done < text.size();
  return done == text.size();
}

bool LineWriter::IsFile() const {
  struct stat what = {};
  return fstat(fd_, &what) == 0 && S_ISREG(what.st_mode);
}

bool LineWriter::TakesMore() {
  pollfd asked = {.fd = fd_, .events = POLLOUT, .revents = 0};
  if (poll(&asked, 1, 0) > 0) return (asked.revents & POLLOUT) != 0;
  const absl::Duration began = SystemClock().Monotonic();
  if (began - second_ >= absl::Seconds(1)) {
    second_ = began;
    waited_ = absl::ZeroDuration();
  }
  if (waited_ >= kMostWaited) return false;
  const int64_t left_ms = absl::ToInt64Milliseconds(kMostWaited - waited_) + 1;
  const bool ready = poll(&asked, 1, static_cast<int>(left_ms)) > 0 && (asked.revents & POLLOUT) != 0;
  waited_ += SystemClock().Monotonic() - began;
  return ready;
}

}  // namespace lanyard
