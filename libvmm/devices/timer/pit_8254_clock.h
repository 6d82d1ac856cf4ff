// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_TIMER_PIT_8254_CLOCK_H_
#define LIBVMM_DEVICES_TIMER_PIT_8254_CLOCK_H_

#include <cstdint>

#include "absl/time/time.h"

namespace libvmm::pit_8254 {

// The PIT's clock pulses by a Clock's Monotonic(), exactly kClocks in
// kClocksNanoseconds. Times are in whole nanoseconds; past the 292 years that
// 64 bits of them hold, time stands still.
//
// Cost: some divisions.

// Pulses that have come by `time`, which is not negative (else none).
[[nodiscard]] int64_t ClocksAt(absl::Duration time);

// The first whole nanosecond at which that many pulses have come;
// absl::InfiniteDuration() when there is none.
[[nodiscard]] absl::Duration TimeOfClock(int64_t clocks);

}  // namespace libvmm::pit_8254

#endif  // LIBVMM_DEVICES_TIMER_PIT_8254_CLOCK_H_
