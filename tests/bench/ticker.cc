#include "tests/bench/ticker.h"

#include <errno.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <string>

namespace lanyard::bench {
namespace {

constexpr uint64_t kNsPerSecond = 1'000'000'000;

}  // namespace

Ticker::Ticker(uint64_t per_second) : fd_(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC)) {
  if (per_second == 0 || per_second > 1'000'000) Die("a rate is between 1 and 1000000 a second");
  const uint64_t interval_ns = kNsPerSecond / per_second;
  itimerspec beat = {};
  beat.it_interval.tv_sec = static_cast<time_t>(interval_ns / kNsPerSecond);
  beat.it_interval.tv_nsec = static_cast<long>(interval_ns % kNsPerSecond);
  beat.it_value = beat.it_interval;
  if (fd_.get() < 0 || timerfd_settime(fd_.get(), 0, &beat, nullptr) != 0) {
    Die(std::string("cannot make a timer: ") + strerror(errno));
  }
}

uint64_t Ticker::Take() {
  uint64_t ticks = 0;
  return read(fd_.get(), &ticks, sizeof ticks) == sizeof ticks ? ticks : 0;
}

}  // namespace lanyard::bench
