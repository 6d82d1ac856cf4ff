// SPDX-License-Identifier: Apache-2.0
#include "libvmm/base/clock.h"

#include <time.h>

namespace libvmm {

namespace {

timespec Read(clockid_t clock) {
  timespec time{};
  clock_gettime(clock, &time);  // Cannot fail for these clocks.
  return time;
}

}  // namespace

absl::Duration SystemClock::Monotonic() const {
  return absl::DurationFromTimespec(Read(CLOCK_MONOTONIC));
}

absl::Time SystemClock::Now() const {
  return absl::TimeFromTimespec(Read(CLOCK_REALTIME));
}

}  // namespace libvmm
