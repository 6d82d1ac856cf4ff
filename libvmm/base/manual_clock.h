// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_BASE_MANUAL_CLOCK_H_
#define LIBVMM_BASE_MANUAL_CLOCK_H_

#include "absl/base/thread_annotations.h"
#include "absl/time/time.h"
#include "libvmm/base/clock.h"
#include "libvmm/base/mutex.h"

namespace libvmm {

// A clock that stands still until the embedder moves it: for tests, for replay,
// and for hosts whose time is counted in frames.
//
// Thread-safety: thread-safe.
// Errors: none.
// Cost: a lock for each call.
class ManualClock final : public Clock {
 public:
  // Starts at Monotonic() zero and at this time of day.
  explicit ManualClock(absl::Time now = absl::UnixEpoch()) : now_(now) {}

  [[nodiscard]] absl::Duration Monotonic() const override {
    const MutexLock lock(mutex_);
    return monotonic_;
  }
  [[nodiscard]] absl::Time Now() const override {
    const MutexLock lock(mutex_);
    return now_;
  }

  // Both times go on by `step`, which is not negative (else it is ignored).
  void Advance(absl::Duration step) {
    if (step < absl::ZeroDuration()) return;
    const MutexLock lock(mutex_);
    monotonic_ += step;
    now_ += step;
  }

  // Sets the time of day alone, as a user or NTP does to a host.
  void SetNow(absl::Time now) {
    const MutexLock lock(mutex_);
    now_ = now;
  }

 private:
  mutable Mutex mutex_;
  absl::Duration monotonic_ ABSL_GUARDED_BY(mutex_) = absl::ZeroDuration();
  absl::Time now_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace libvmm

#endif  // LIBVMM_BASE_MANUAL_CLOCK_H_
