// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/timer/pit_8254_clock.h"

#include <algorithm>
#include <limits>

#include "libvmm/devices/timer/pit_8254_registers.h"

namespace libvmm::pit_8254 {

int64_t ClocksAt(absl::Duration time) {
  // Saturates.
  const int64_t nanoseconds =
      std::max<int64_t>(absl::ToInt64Nanoseconds(time), 0);
  return nanoseconds / kClocksNanoseconds * kClocks +
         nanoseconds % kClocksNanoseconds * kClocks / kClocksNanoseconds;
}

absl::Duration TimeOfClock(int64_t clocks) {
  if (clocks <= 0) return absl::ZeroDuration();
  if (clocks / kClocks >=
      std::numeric_limits<int64_t>::max() / kClocksNanoseconds) {
    return absl::InfiniteDuration();
  }
  const int64_t rest = clocks % kClocks * kClocksNanoseconds;
  return absl::Nanoseconds(clocks / kClocks * kClocksNanoseconds +
                           (rest + kClocks - 1) / kClocks);
}

}  // namespace libvmm::pit_8254
