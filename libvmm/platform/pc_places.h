// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_PLATFORM_PC_PLACES_H_
#define LIBVMM_PLATFORM_PC_PLACES_H_

#include <cstdint>

#include "libvmm/devices/io_range.h"

// Ports and interrupts of a PC's devices, as its board wires them and its tables
// tell them. What a device's own header names is not here.
namespace libvmm {

// Where a PC's serial ports are.
struct PcSerialPlace {
  uint16_t port = 0;
  uint8_t irq = 0;
};
inline constexpr PcSerialPlace kPcSerialPlaces[] = {
    {.port = 0x3f8, .irq = 4},
    {.port = 0x2f8, .irq = 3},
    {.port = 0x3e8, .irq = 4},
    {.port = 0x2e8, .irq = 3},
};
// Where the power management registers are.
inline constexpr uint16_t kPcPmPort = 0x600;
// What SLP_TYP is for soft off: _S5 of the tables says it too.
inline constexpr uint8_t kPcSoftOffSleepType = 5;
// Interrupt lines that lead to an IOAPIC's pins.
inline constexpr uint32_t kPcGsiCount = 24;
// Where the interrupt pins of PCI devices lead.
inline constexpr uint32_t kPcPciGsis[] = {16, 17, 18, 19};
// The same on a machine without an IOAPIC.
inline constexpr uint32_t kPcPciIrqs[] = {10, 11, 10, 11};
// Where PCI's I/O BARs may be.
inline constexpr IoRange kPcPciPorts = {.base = 0xc000, .size = 0x4000};

}  // namespace libvmm

#endif  // LIBVMM_PLATFORM_PC_PLACES_H_
