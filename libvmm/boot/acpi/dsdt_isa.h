// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_BOOT_ACPI_DSDT_ISA_H_
#define LIBVMM_BOOT_ACPI_DSDT_ISA_H_

#include <cstdint>
#include <span>

#include "libvmm/boot/acpi/aml_writer.h"

namespace libvmm {

// Objects of a DSDT for devices at fixed ports. Each function writes a scope
// \_SB of its own.

// A 16550A, eight ports from `port` on: PNP0501.
struct AcpiSerialPort {
  uint16_t port = 0x3f8;
  // Edge-triggered, active high; the ISA interrupt where below 16, else a GSI.
  uint32_t irq = 4;
};
// COM1, COM2 and so on with the UIDs 1, 2... At most 15.
void AppendSerialPorts(aml::Writer& aml, std::span<const AcpiSerialPort> ports);

// An MC146818 at the ports 0x70 and 0x71, interrupt 8: PNP0B00.
void AppendRtc(aml::Writer& aml);

// A keyboard controller at the ports 0x60 and 0x64: the keyboard, PNP0303, with
// interrupt 1, and on request a mouse, PNP0F13, with interrupt 12.
struct AcpiI8042 {
  bool mouse = true;
};
void AppendI8042(aml::Writer& aml, const AcpiI8042& i8042);

// The panic notifier of QEMU's docs/specs/pvpanic.txt, one port: QEMU0001.
void AppendPvpanic(aml::Writer& aml, uint16_t port);

}  // namespace libvmm

#endif  // LIBVMM_BOOT_ACPI_DSDT_ISA_H_
