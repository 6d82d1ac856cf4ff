// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_BOOT_ACPI_DSDT_PCI_H_
#define LIBVMM_BOOT_ACPI_DSDT_PCI_H_

#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "libvmm/boot/acpi/aml_resources.h"
#include "libvmm/boot/acpi/aml_writer.h"

namespace libvmm {

// Where the interrupt pin of a device on the root bus leads.
struct AcpiPciRoute {
  uint8_t device = 0;  // 0 to 31
  uint8_t pin = 0;     // 0 is INTA, 3 is INTD
  uint32_t gsi = 0;

  friend bool operator==(const AcpiPciRoute&, const AcpiPciRoute&) = default;
};

// Routes for all pins of the devices 0 to 31 such that neighbours get different
// GSIs: pin p of device d leads to gsis[(d + p) % gsis.size()]. None without
// GSIs.
[[nodiscard]] std::vector<AcpiPciRoute> SwizzledPciRoutes(
    std::span<const uint32_t> gsis);

// A PCI Express host bridge: PNP0A08, compatible with PNP0A03 (PCI Firmware
// Specification 3.0, section 4.1.5).
struct AcpiPciHostBridge {
  uint16_t segment = 0;
  aml::BusWindow buses = {.first = 0, .last = 255};
  // It decodes the ports 0xcf8 to 0xcff for configuration cycles.
  bool config_ports = true;
  // What it passes on. `io` windows leave config_ports out.
  std::vector<aml::IoWindow> io = {{.first = 0x0000, .last = 0x0cf7},
                                   {.first = 0x0d00, .last = 0xffff}};
  std::vector<aml::MemoryWindow> memory = {};
  // _PRT. At most 255.
  std::vector<AcpiPciRoute> routes = {};
  // The features of table 4-5 that the guest may control when it asks by _OSC.
  // Default: native hot plug, PME, AER, PCI Express capability structures.
  uint32_t osc_control = 0x1d;

  // kInvalidArgument: a window is empty, ends before it starts, or overlaps
  // another of its kind; memory passes the end of the 64-bit space; a device
  // above 31 or a pin above 3; two routes of one pin; too many routes.
  [[nodiscard]] absl::Status Validate() const;
};

// The bridge as \_SB.PCI0, or PCI`index`, with `index` (0 to 15) as UID.
// `bridge` is valid.
void AppendPciHostBridge(aml::Writer& aml, const AcpiPciHostBridge& bridge,
                         uint8_t index = 0);

}  // namespace libvmm

#endif  // LIBVMM_BOOT_ACPI_DSDT_PCI_H_
