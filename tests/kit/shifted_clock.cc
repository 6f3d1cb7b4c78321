// Preloaded into a process by kit/shifted_clock.py: its wall clock is wrong by what a shared file says, and may jump
// while it runs. Monotonic time goes on as it is. Waits for a wall-clock time behave as the kernel's do: a jump
// forward ends them early, a jump back makes them longer.
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

namespace {

constexpr int64_t kSecond = 1'000'000'000;
// A wait looks again this often whether the clock has jumped.
constexpr int64_t kSlice = 20'000'000;
// Later than any monotonic clock, earlier than any wall clock: which of the two a condition variable waits by.
constexpr int64_t kWallClock = 1'000'000'000 * kSecond;

template <typename Function>
Function* Next(const char* name, const char* version = nullptr) {
  void* found = version == nullptr ? nullptr : dlvsym(RTLD_NEXT, name, version);
  return reinterpret_cast<Function*>(found != nullptr ? found : dlsym(RTLD_NEXT, name));
}

const volatile int64_t* MapShift() {
  static const int64_t none = 0;
  const char* path = getenv("LANYARD_TEST_CLOCK_SHIFT");
  const int fd = path == nullptr ? -1 : open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return &none;
  void* mapped = mmap(nullptr, sizeof(int64_t), PROT_READ, MAP_SHARED, fd, 0);
  close(fd);
  return mapped == MAP_FAILED ? &none : static_cast<const volatile int64_t*>(mapped);
}

int64_t Shift() {
  static const volatile int64_t* const shift = MapShift();
  return *shift;
}

int64_t Of(const timespec& time) { return time.tv_sec * kSecond + time.tv_nsec; }
timespec Timespec(int64_t nanoseconds) { return {nanoseconds / kSecond, nanoseconds % kSecond}; }

int64_t RealNow() {
  static auto* const next = Next<int(clockid_t, timespec*)>("clock_gettime");
  timespec now;
  next(CLOCK_REALTIME, &now);
  return Of(now);
}

// What to hand to the kernel for a wait until `until` of the shifted clock.
struct Slice {
  explicit Slice(const timespec& until) {
    const int64_t left = Of(until) - (RealNow() + Shift());
    last = left <= kSlice;
    real = Timespec(RealNow() + (last ? left : kSlice));
  }
  timespec real;
  bool last;  // when it is over, so is the wait
};

}  // namespace

extern "C" {

int clock_gettime(clockid_t clock, timespec* out) {
  static auto* const next = Next<int(clockid_t, timespec*)>("clock_gettime");
  const int result = next(clock, out);
  if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) *out = Timespec(Of(*out) + Shift());
  return result;
}

int gettimeofday(timeval* out, void*) {
  const int64_t now = RealNow() + Shift();
  *out = {now / kSecond, now % kSecond / 1000};
  return 0;
}

time_t time(time_t* out) {
  const time_t now = (RealNow() + Shift()) / kSecond;
  if (out != nullptr) *out = now;
  return now;
}

// Returning early without a signal is allowed of it.
int pthread_cond_timedwait(pthread_cond_t* condition, pthread_mutex_t* mutex, const timespec* until) {
  static auto* const next =
      Next<int(pthread_cond_t*, pthread_mutex_t*, const timespec*)>("pthread_cond_timedwait", "GLIBC_2.3.2");
  if (Of(*until) < kWallClock) return next(condition, mutex, until);
  const Slice slice(*until);
  const int result = next(condition, mutex, &slice.real);
  return result == ETIMEDOUT && !slice.last ? 0 : result;
}

int pthread_cond_clockwait(pthread_cond_t* condition, pthread_mutex_t* mutex, clockid_t clock, const timespec* until) {
  static auto* const next =
      Next<int(pthread_cond_t*, pthread_mutex_t*, clockid_t, const timespec*)>("pthread_cond_clockwait");
  if (clock != CLOCK_REALTIME) return next(condition, mutex, clock, until);
  const Slice slice(*until);
  const int result = next(condition, mutex, clock, &slice.real);
  return result == ETIMEDOUT && !slice.last ? 0 : result;
}

// Abseil waits by futex(2); interrupted, it waits again.
long syscall(long number, ...) {
  static auto* const next = Next<long(long, ...)>("syscall");
  va_list list;
  va_start(list, number);
  long arguments[6];
  for (long& argument : arguments) argument = va_arg(list, long);
  va_end(list);
  const auto call = [&](long time) {
    return next(number, arguments[0], arguments[1], arguments[2], time, arguments[4], arguments[5]);
  };
  const auto* until = reinterpret_cast<const timespec*>(arguments[3]);
  const bool waits = number == SYS_futex && (arguments[1] & FUTEX_CMD_MASK) == FUTEX_WAIT_BITSET;
  if (!waits || (arguments[1] & FUTEX_CLOCK_REALTIME) == 0 || until == nullptr) return call(arguments[3]);
  const Slice slice(*until);
  const long result = call(reinterpret_cast<long>(&slice.real));
  if (result == -1 && errno == ETIMEDOUT && !slice.last) errno = EINTR;
  return result;
}

}  // extern "C"
