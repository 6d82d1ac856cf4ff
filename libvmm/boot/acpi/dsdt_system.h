// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_BOOT_ACPI_DSDT_SYSTEM_H_
#define LIBVMM_BOOT_ACPI_DSDT_SYSTEM_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "libvmm/base/address.h"
#include "libvmm/boot/acpi/aml_resources.h"
#include "libvmm/boot/acpi/aml_writer.h"

namespace libvmm {

// Objects of a DSDT for the machine as a whole. Each function writes at the
// root of the name space.

// \_S5: power off, by writing `slp_typ` (0 to 7) to SLP_TYP of PM1a control or
// of the sleep control register (ACPI 6.4, chapter 7.4.2).
void AppendSoftOffState(aml::Writer& aml, uint8_t slp_typ);

// A device ACPI0007 for each CPU, with the UIDs 0 to `count` - 1 that the MADT
// speaks of (chapter 8.4). `count` is at most 65536.
void AppendProcessors(aml::Writer& aml, size_t count);

// Ports and memory that no other device shows and that no driver is to take: a
// device PNP0C02 with the UID `uid`. Linux accepts an ECAM window only when it
// is among these. Writes nothing when there are none.
struct AcpiReservedResources {
  std::vector<aml::IoPorts> ports = {};
  std::vector<GpaRange> memory = {};
};
void AppendReservedResources(aml::Writer& aml,
                             const AcpiReservedResources& resources);

// A power button (PNP0C0C) that the interrupt `gsi`, edge-triggered and active
// high, presses, through a Generic Event Device (ACPI0013, chapter 5.6.9). For
// hardware-reduced ACPI: the fixed hardware has a button of its own.
void AppendEventPowerButton(aml::Writer& aml, uint32_t gsi);

}  // namespace libvmm

#endif  // LIBVMM_BOOT_ACPI_DSDT_SYSTEM_H_
