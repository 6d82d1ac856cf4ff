// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_RTC_MC146818_STATE_H_
#define LIBVMM_DEVICES_RTC_MC146818_STATE_H_

#include <array>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "libvmm/devices/rtc/mc146818_registers.h"

namespace libvmm {

// All that an Mc146818 remembers. Bit layouts are those of
// mc146818_registers.h.
//
// Thread-safety: thread-compatible value.
struct Mc146818State {
  // As written to the index port, with the NMI mask.
  uint8_t index = 0;
  // Without UIP.
  uint8_t register_a = 0x26;
  uint8_t register_b = mc146818::B24Hour::kMask;
  // The kCFlags of register C not read yet.
  uint8_t flags = 0;
  // By address. Time bytes (and the century's, if the device has one) count
  // only while the clock is stopped by SET or the divider; registers A to D are
  // above, and their places here are ignored.
  std::array<uint8_t, mc146818::kMemorySize> memory{};
  // What the guest calls the day of the week, ahead of the true one: 0 to 6.
  uint8_t weekday_offset = 0;
  // The guest's time is Clock::Now plus this. While the clock is stopped, only
  // its fraction of a second counts.
  absl::Duration offset = absl::ZeroDuration();
  // The guest's time up to which flags are in `flags`: what passes between Save
  // and Restore is caught up with, as by a machine that was off.
  absl::Time accounted = absl::UnixEpoch();

  friend bool operator==(const Mc146818State&, const Mc146818State&) = default;

  // kInvalidArgument names the first field that no device could have reached,
  // and its value.
  [[nodiscard]] absl::Status Validate() const;
};

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_RTC_MC146818_STATE_H_
