// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_BASE_CLOCK_H_
#define LIBVMM_BASE_CLOCK_H_

#include "absl/time/time.h"

namespace libvmm {

// Where devices take the time from. The embedder chooses it: the system's, or
// one that it steps itself (ManualClock), which makes a machine repeatable.
//
// Thread-safety: thread-safe.
// Errors: none.
// Cost: a virtual call and what the implementation costs; SystemClock makes no
//     system call (vDSO).
class Clock {
 public:
  virtual ~Clock() = default;

  // Time since a moment that is fixed for the clock's life. Never goes back.
  // Timers count by it, and deadlines are moments of it.
  [[nodiscard]] virtual absl::Duration Monotonic() const = 0;

  // The time of day. It may jump when the host's is set.
  [[nodiscard]] virtual absl::Time Now() const = 0;

 protected:
  Clock() = default;
  Clock(const Clock&) = default;
  Clock& operator=(const Clock&) = default;
};

// CLOCK_MONOTONIC and CLOCK_REALTIME.
//
// Thread-safety: immutable.
class SystemClock final : public Clock {
 public:
  [[nodiscard]] absl::Duration Monotonic() const override;
  [[nodiscard]] absl::Time Now() const override;
};

}  // namespace libvmm

#endif  // LIBVMM_BASE_CLOCK_H_
