// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_BOOT_ACPI_MCFG_H_
#define LIBVMM_BOOT_ACPI_MCFG_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "libvmm/base/address.h"
#include "libvmm/boot/acpi/acpi_table.h"
#include "libvmm/boot/acpi/aml_resources.h"

namespace libvmm {

// Memory-mapped configuration space of some buses of a PCI segment. `bus_0` is
// where bus 0 is or would be: the bus n is 1 MiB * n above it.
struct AcpiEcam {
  Gpa bus_0;
  uint16_t segment = 0;
  aml::BusWindow buses = {.first = 0, .last = 255};

  // What the buses take up.
  [[nodiscard]] GpaRange range() const;
};

// Memory-mapped configuration table, "MCFG" (PCI Firmware Specification 3.0,
// section 4.1.2).
[[nodiscard]] std::vector<std::byte> MakeMcfg(
    const AcpiIdentity& identity, std::span<const AcpiEcam> windows);

}  // namespace libvmm

#endif  // LIBVMM_BOOT_ACPI_MCFG_H_
