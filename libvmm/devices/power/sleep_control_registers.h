// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_POWER_SLEEP_CONTROL_REGISTERS_H_
#define LIBVMM_DEVICES_POWER_SLEEP_CONTROL_REGISTERS_H_

// ACPI 6.4, section 4.8.3.7, tables 4.20 and 4.21.

#include <cstdint>

#include "libvmm/base/field.h"

namespace libvmm::sleep_control {

// Offsets; 8 bits wide.
enum class Register : uint8_t {
  kControl = 0,  // rw    0x00  SLEEP_CONTROL_REG
  kStatus = 1,   // rw1c  0x00  SLEEP_STATUS_REG
};
inline constexpr uint8_t kRegisterCount = 2;

using ControlSleepType = Field<uint8_t, 4, 2>;    // SLP_TYPx
using ControlSleepEnable = Field<uint8_t, 5, 5>;  // SLP_EN; reads 0
using StatusWake = Field<uint8_t, 7, 7>;          // WAK_STS

}  // namespace libvmm::sleep_control

#endif  // LIBVMM_DEVICES_POWER_SLEEP_CONTROL_REGISTERS_H_
