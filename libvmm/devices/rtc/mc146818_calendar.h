// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_RTC_MC146818_CALENDAR_H_
#define LIBVMM_DEVICES_RTC_MC146818_CALENDAR_H_

#include <cstdint>
#include <optional>
#include <span>

#include "libvmm/devices/rtc/mc146818_registers.h"

namespace libvmm::mc146818 {

// Between moments and the time registers of an MC146818 (datasheet, table 3 and
// "Alarm"). A moment is in whole seconds of Unix time; bytes are by address, in
// the format that register B says (DM, 24/12).
//
// All functions are stateless and accept any bytes and moments. Cost: calendar
// arithmetic; NextAlarm compares some hundred bytes.

struct Moment {
  int64_t seconds = 0;
  // What the guest calls the day of the week, ahead of the true one: 0 to 6.
  uint8_t weekday_offset = 0;
};

// Writes the seven time bytes, and the century's if `century`.
void EncodeTime(const Moment& moment, uint8_t register_b, bool century,
                std::span<uint8_t, kMemorySize> memory);

// What the time bytes say; carries what is no date. The century is that of
// `near` (seconds of Unix time) unless a byte has it.
[[nodiscard]] Moment DecodeTime(std::span<const uint8_t, kMemorySize> memory,
                                uint8_t register_b, bool century, int64_t near);

// The first moment after `seconds` whose time bytes equal the alarm's, where
// these are not kDontCare; nothing if there is none on any day.
[[nodiscard]] std::optional<int64_t> NextAlarm(
    int64_t seconds, std::span<const uint8_t, kMemorySize> memory,
    uint8_t register_b);

}  // namespace libvmm::mc146818

#endif  // LIBVMM_DEVICES_RTC_MC146818_CALENDAR_H_
