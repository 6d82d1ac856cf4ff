// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_POWER_RESET_CONTROL_REGISTERS_H_
#define LIBVMM_DEVICES_POWER_RESET_CONTROL_REGISTERS_H_

// The reset control register of Intel's chipsets: RST_CNT at port 0xcf9 (ICH9
// datasheet, section 13.7.5). 8 bits, rw, 0x00.

#include <cstdint>

#include "libvmm/base/field.h"

namespace libvmm::reset_control {

using SystemReset = Field<uint8_t, 1, 1>;  // SYS_RST: hard, else INIT
using ResetCpu = Field<uint8_t, 2, 2>;     // RST_CPU: its rise resets
using FullReset = Field<uint8_t, 3, 3>;    // FULL_RST: with power cycle
inline constexpr uint8_t kMask =
    SystemReset::kMask | ResetCpu::kMask | FullReset::kMask;

}  // namespace libvmm::reset_control

#endif  // LIBVMM_DEVICES_POWER_RESET_CONTROL_REGISTERS_H_
