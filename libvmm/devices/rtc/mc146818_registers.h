// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_RTC_MC146818_REGISTERS_H_
#define LIBVMM_DEVICES_RTC_MC146818_REGISTERS_H_

// The programming model of the Motorola MC146818A real-time clock with RAM
// (datasheet of 1988: figure 9 address map, table 3 time formats, table 5
// divider and rates, "Registers"), as a PC has it: two ports and 128 bytes. For
// the device model, firmware tables and tests.

#include <cstdint>

#include "libvmm/base/field.h"

namespace libvmm::mc146818 {

// Offsets of the two ports, 8 bits wide each; a PC has them at 0x70 and 0x71.
enum class Port : uint8_t {
  kIndex = 0,  // -w   0x00  address of the next data access; NMI mask
  kData = 1,   // rw   -     the byte at that address
};
inline constexpr uint64_t kPortCount = 2;

// Index port.
using IndexAddress = Field<uint8_t, 6, 0>;
using IndexNmiDisable = Field<uint8_t, 7, 7>;

// Addresses behind the index. The RESET pin changes the bits named; all else is
// kept by the battery and has the value given when there was none.
enum class Register : uint8_t {
  kSeconds = 0x00,       // rw   -     Seconds, 0 to 59
  kSecondsAlarm = 0x01,  // rw   0x00  Seconds Alarm
  kMinutes = 0x02,       // rw   -     Minutes, 0 to 59
  kMinutesAlarm = 0x03,  // rw   0x00  Minutes Alarm
  kHours = 0x04,         // rw   -     Hours, 0 to 23, or 1 to 12 and kPm
  kHoursAlarm = 0x05,    // rw   0x00  Hours Alarm
  kDayOfWeek = 0x06,     // rw   -     Day of the Week, Sunday is 1
  kDayOfMonth = 0x07,    // rw   -     Date of the Month, 1 to 31
  kMonth = 0x08,         // rw   -     Month, 1 to 12
  kYear = 0x09,          // rw   -     Year, 0 to 99
  kA = 0x0a,             // rw   0x26  Register A; UIP is read-only
  kB = 0x0b,             // rw   0x02  Register B; RESET clears the enables
  kC = 0x0c,             // r-   0x00  Register C; RESET clears it
  kD = 0x0d,             // r-   0x80  Register D
  kCentury = 0x32,       // rw   -     A PC's century byte, in RAM
};
// Where RAM begins, and all bytes: the datasheet's 64 and a PC's second half.
inline constexpr uint8_t kRamStart = 0x0e;
inline constexpr uint8_t kMemorySize = 128;

// Hours register in 12-hour mode: set from noon on.
inline constexpr uint8_t kPm = 0x80;
// An alarm byte from here on matches any value ("don't care" code).
inline constexpr uint8_t kDontCare = 0xc0;

// Register A.
using AUpdateInProgress = Field<uint8_t, 7, 7>;  // UIP
using ADivider = Field<uint8_t, 6, 4>;           // DV
using ARate = Field<uint8_t, 3, 0>;              // RS
// Values of ADivider from here on hold the divider chain in reset. Of the
// others, 2 is a PC's 32.768 kHz crystal; all are taken for it.
inline constexpr uint8_t kDividerReset = 6;

// Register B.
using BSet = Field<uint8_t, 7, 7>;             // SET
using BPeriodicEnable = Field<uint8_t, 6, 6>;  // PIE
using BAlarmEnable = Field<uint8_t, 5, 5>;     // AIE
using BUpdateEnable = Field<uint8_t, 4, 4>;    // UIE
using BSquareWave = Field<uint8_t, 3, 3>;      // SQWE
using BBinary = Field<uint8_t, 2, 2>;          // DM
using B24Hour = Field<uint8_t, 1, 1>;          // 24/12
using BDaylightSaving = Field<uint8_t, 0, 0>;  // DSE

// Register C. The flags have the places of their enables in register B.
using CInterrupt = Field<uint8_t, 7, 7>;  // IRQF
using CPeriodic = Field<uint8_t, 6, 6>;   // PF
using CAlarm = Field<uint8_t, 5, 5>;      // AF
using CUpdate = Field<uint8_t, 4, 4>;     // UF
inline constexpr uint8_t kCFlags =
    CPeriodic::kMask | CAlarm::kMask | CUpdate::kMask;

// Register D.
using DValid = Field<uint8_t, 7, 7>;  // VRT

}  // namespace libvmm::mc146818

#endif  // LIBVMM_DEVICES_RTC_MC146818_REGISTERS_H_
