// Tells ThreadSanitizer what Debian's abseil does. Its library is not instrumented, so that every lock taken
// through it is invisible, and all that it protects looks like a race. The methods below stand before the
// library's own (in gRPC's calls too), announce the lock, and call on.
#include <dlfcn.h>

#include "absl/synchronization/blocking_counter.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"

extern "C" {
void __tsan_acquire(void* address);
void __tsan_release(void* address);
void AnnotateIgnoreReadsBegin(const char* file, int line);
void AnnotateIgnoreReadsEnd(const char* file, int line);

// Memory that an uninstrumented library touches itself (malloc, memcpy) is that library's to synchronise.
const char* __tsan_default_options() { return "ignore_noninstrumented_modules=1"; }

// What gRPC and protobuf hand from one thread of theirs to another, by atomics that cannot be seen; and gRPC's own
// threads, which it may not have joined yet when a test ends.
const char* __tsan_default_suppressions() {
  return "race:libgrpc_unsecure.so\n"
         "race:libgrpc++_unsecure.so\n"
         "race:libprotobuf.so\n"
         "race:libupb.so\n"
         "race:libabsl_\n"
         "thread:grpc_core::\n";
}
}

namespace {

// The library's own method, by the rest of its mangled name. C++ methods take their object first.
template <typename Function>
Function* Next(const char* name) {
  return reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name));
}

// A thread that unlocks reads the conditions others wait for, after what it announced.
struct IgnoreConditions {
  IgnoreConditions() { AnnotateIgnoreReadsBegin(__FILE__, __LINE__); }
  ~IgnoreConditions() { AnnotateIgnoreReadsEnd(__FILE__, __LINE__); }
};

// An atomic flag is synchronised with by its address (HasBeenNotified reads it inline).
void* FlagOf(const absl::Notification* notification) {
  return const_cast<char*>(reinterpret_cast<const char*>(notification)) + sizeof(absl::Mutex);
}

}  // namespace

#define NEXT(type, name)                                                           \
  static auto* const next = Next<type>("_ZN" name);                                \
  const IgnoreConditions ignore_conditions

namespace absl {
ABSL_NAMESPACE_BEGIN

void Mutex::Lock() {
  {
    NEXT(void(Mutex*), "4absl7debian35Mutex4LockEv");
    next(this);
  }
  __tsan_acquire(this);
}
void Mutex::Unlock() {
  __tsan_release(this);
  NEXT(void(Mutex*), "4absl7debian35Mutex6UnlockEv");
  next(this);
}
bool Mutex::TryLock() {
  NEXT(bool(Mutex*), "4absl7debian35Mutex7TryLockEv");
  const bool locked = next(this);
  if (locked) __tsan_acquire(this);
  return locked;
}
void Mutex::ReaderLock() {
  {
    NEXT(void(Mutex*), "4absl7debian35Mutex10ReaderLockEv");
    next(this);
  }
  __tsan_acquire(this);
}
void Mutex::ReaderUnlock() {
  __tsan_release(this);
  NEXT(void(Mutex*), "4absl7debian35Mutex12ReaderUnlockEv");
  next(this);
}
bool Mutex::ReaderTryLock() {
  NEXT(bool(Mutex*), "4absl7debian35Mutex13ReaderTryLockEv");
  const bool locked = next(this);
  if (locked) __tsan_acquire(this);
  return locked;
}
void Mutex::Await(const Condition& condition) {
  __tsan_release(this);
  {
    NEXT(void(Mutex*, const Condition&), "4absl7debian35Mutex5AwaitERKNS0_9ConditionE");
    next(this, condition);
  }
  __tsan_acquire(this);
}
bool Mutex::AwaitWithTimeout(const Condition& condition, Duration timeout) {
  __tsan_release(this);
  bool held;
  {
    NEXT(bool(Mutex*, const Condition&, Duration),
         "4absl7debian35Mutex16AwaitWithTimeoutERKNS0_9ConditionENS0_8DurationE");
    held = next(this, condition, timeout);
  }
  __tsan_acquire(this);
  return held;
}
bool Mutex::AwaitWithDeadline(const Condition& condition, Time deadline) {
  __tsan_release(this);
  bool held;
  {
    NEXT(bool(Mutex*, const Condition&, Time), "4absl7debian35Mutex17AwaitWithDeadlineERKNS0_9ConditionENS0_4TimeE");
    held = next(this, condition, deadline);
  }
  __tsan_acquire(this);
  return held;
}
void Mutex::LockWhen(const Condition& condition) {
  {
    NEXT(void(Mutex*, const Condition&), "4absl7debian35Mutex8LockWhenERKNS0_9ConditionE");
    next(this, condition);
  }
  __tsan_acquire(this);
}

void CondVar::Wait(Mutex* mutex) {
  __tsan_release(mutex);
  {
    NEXT(void(CondVar*, Mutex*), "4absl7debian37CondVar4WaitEPNS0_5MutexE");
    next(this, mutex);
  }
  __tsan_acquire(mutex);
}
bool CondVar::WaitWithTimeout(Mutex* mutex, Duration timeout) {
  __tsan_release(mutex);
  bool timed_out;
  {
    NEXT(bool(CondVar*, Mutex*, Duration), "4absl7debian37CondVar15WaitWithTimeoutEPNS0_5MutexENS0_8DurationE");
    timed_out = next(this, mutex, timeout);
  }
  __tsan_acquire(mutex);
  return timed_out;
}
bool CondVar::WaitWithDeadline(Mutex* mutex, Time deadline) {
  __tsan_release(mutex);
  bool timed_out;
  {
    NEXT(bool(CondVar*, Mutex*, Time), "4absl7debian37CondVar16WaitWithDeadlineEPNS0_5MutexENS0_4TimeE");
    timed_out = next(this, mutex, deadline);
  }
  __tsan_acquire(mutex);
  return timed_out;
}

void Notification::Notify() {
  __tsan_release(FlagOf(this));
  NEXT(void(Notification*), "4absl7debian312Notification6NotifyEv");
  next(this);
}
void Notification::WaitForNotification() const {
  static auto* const next =
      Next<void(const Notification*)>("_ZNK4absl7debian312Notification19WaitForNotificationEv");
  next(this);
  __tsan_acquire(FlagOf(this));
}
bool Notification::WaitForNotificationWithTimeout(Duration timeout) const {
  static auto* const next = Next<bool(const Notification*, Duration)>(
      "_ZNK4absl7debian312Notification30WaitForNotificationWithTimeoutENS0_8DurationE");
  const bool notified = next(this, timeout);
  if (notified) __tsan_acquire(FlagOf(this));
  return notified;
}
bool Notification::WaitForNotificationWithDeadline(Time deadline) const {
  static auto* const next = Next<bool(const Notification*, Time)>(
      "_ZNK4absl7debian312Notification31WaitForNotificationWithDeadlineENS0_4TimeE");
  const bool notified = next(this, deadline);
  if (notified) __tsan_acquire(FlagOf(this));
  return notified;
}

bool BlockingCounter::DecrementCount() {
  __tsan_release(this);
  NEXT(bool(BlockingCounter*), "4absl7debian315BlockingCounter14DecrementCountEv");
  return next(this);
}
void BlockingCounter::Wait() {
  {
    NEXT(void(BlockingCounter*), "4absl7debian315BlockingCounter4WaitEv");
    next(this);
  }
  __tsan_acquire(this);
}

ABSL_NAMESPACE_END
}  // namespace absl
