// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_PANIC_PVPANIC_REGISTERS_H_
#define LIBVMM_DEVICES_PANIC_PVPANIC_REGISTERS_H_

// QEMU's pvpanic device (docs/specs/pvpanic), one register of 8 bits: reading
// gives the events that the device knows, writing reports some of them.

#include <cstdint>

#include "libvmm/base/field.h"

namespace libvmm::pvpanic {

using EventPanicked = Field<uint8_t, 0, 0>;     // The host is to deal with it.
using EventCrashLoaded = Field<uint8_t, 1, 1>;  // The guest deals with it.
using EventShutdown = Field<uint8_t, 2, 2>;     // An orderly shutdown.
inline constexpr uint8_t kEvents =
    EventPanicked::kMask | EventCrashLoaded::kMask | EventShutdown::kMask;
inline constexpr uint8_t kDefaultEvents =
    EventPanicked::kMask | EventCrashLoaded::kMask;

}  // namespace libvmm::pvpanic

#endif  // LIBVMM_DEVICES_PANIC_PVPANIC_REGISTERS_H_
