// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_POWER_ACPI_PM_REGISTERS_H_
#define LIBVMM_DEVICES_POWER_ACPI_PM_REGISTERS_H_

// The fixed hardware of ACPI 6.4, section 4.8, without what hardware-reduced
// platforms leave out. For the device model, FADT and tests.

#include <cstdint>

#include "libvmm/base/field.h"

namespace libvmm::acpi_pm {

// Offsets in AcpiPm's block, and widths in bits. FADT points at each of the
// four register blocks by its own address.
enum class Register : uint8_t {
  kPm1Status = 0,    // 16  rw1c  0x0000  PM1a_STS  (PM1a_EVT_BLK)
  kPm1Enable = 2,    // 16  rw    0x0000  PM1a_EN
  kPm1Control = 4,   // 16  rw    -       PM1a_CNT  (PM1a_CNT_BLK)
                     // 16  r-    0xffff  (nothing)
  kPmTimer = 8,      // 32  r-    -       PM_TMR    (PM_TMR_BLK)
  kGpe0Status = 12,  // 16  rw1c  0x0000  GPE0_STS  (GPE0_BLK)
  kGpe0Enable = 14,  // 16  rw    0x0000  GPE0_EN
};
inline constexpr uint8_t kSize = 16;
// Lengths of the blocks, as FADT has them.
inline constexpr uint8_t kPm1EventSize = 4;
inline constexpr uint8_t kPm1ControlSize = 2;
inline constexpr uint8_t kPmTimerSize = 4;
inline constexpr uint8_t kGpe0Size = 4;
inline constexpr uint8_t kGpe0Count = 16;

// PM1 status, table 4.13, and enable, table 4.14: bits at the same places.
using Pm1Timer = Field<uint16_t, 0, 0>;        // TMR
using Pm1Global = Field<uint16_t, 5, 5>;       // GBL
using Pm1PowerButton = Field<uint16_t, 8, 8>;  // PWRBTN
using Pm1SleepButton = Field<uint16_t, 9, 9>;  // SLPBTN
using Pm1Rtc = Field<uint16_t, 10, 10>;        // RTC
using Pm1Wake = Field<uint16_t, 15, 15>;       // WAK_STS; no enable
inline constexpr uint16_t kPm1Events = Pm1Timer::kMask | Pm1Global::kMask |
                                       Pm1PowerButton::kMask |
                                       Pm1SleepButton::kMask | Pm1Rtc::kMask;

// PM1 control, table 4.15.
using Pm1SciEnable = Field<uint16_t, 0, 0>;        // SCI_EN; not by writing
using Pm1BusMasterReload = Field<uint16_t, 1, 1>;  // BM_RLD
using Pm1GlobalRelease = Field<uint16_t, 2, 2>;    // GBL_RLS; reads 0
using Pm1SleepType = Field<uint16_t, 12, 10>;      // SLP_TYPx
using Pm1SleepEnable = Field<uint16_t, 13, 13>;    // SLP_EN; reads 0
// What PM1 control keeps of what is written.
inline constexpr uint16_t kPm1ControlKept =
    Pm1BusMasterReload::kMask | Pm1SleepType::kMask;

// The power management timer's rate, section 4.8.3.3.
inline constexpr uint64_t kPmTimerHz = 3'579'545;

// Offsets of the SMI command port and the status byte behind it, a PC's 0xb2
// and 0xb3; 8 bits wide.
enum class SmiRegister : uint8_t {
  kCommand = 0,  // rw   0x00  SMI_CMD: see below
  kStatus = 1,   // rw   0x00  scratch
};
inline constexpr uint8_t kSmiSize = 2;
// Values of kCommand that do something: FADT's ACPI_ENABLE and ACPI_DISABLE.
inline constexpr uint8_t kAcpiEnable = 0xf1;
inline constexpr uint8_t kAcpiDisable = 0xf0;

}  // namespace libvmm::acpi_pm

#endif  // LIBVMM_DEVICES_POWER_ACPI_PM_REGISTERS_H_
