// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_POWER_SYSTEM_CONTROL_A_REGISTERS_H_
#define LIBVMM_DEVICES_POWER_SYSTEM_CONTROL_A_REGISTERS_H_

// System control port A of the IBM PS/2 at port 0x92 (Hardware Interface
// Technical Reference, "System Control Port A"; INIT register PORT92 of Intel's
// chipsets). 8 bits, rw.

#include <cstdint>

#include "libvmm/base/field.h"

namespace libvmm::system_control_a {

using FastReset = Field<uint8_t, 0, 0>;  // INIT_NOW: its rise resets
using A20Gate = Field<uint8_t, 1, 1>;    // ALT_A20_GATE: address line 20 works
inline constexpr uint8_t kMask = FastReset::kMask | A20Gate::kMask;

}  // namespace libvmm::system_control_a

#endif  // LIBVMM_DEVICES_POWER_SYSTEM_CONTROL_A_REGISTERS_H_
