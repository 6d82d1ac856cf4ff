// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_BOOT_ACPI_MADT_H_
#define LIBVMM_BOOT_ACPI_MADT_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "libvmm/boot/acpi/acpi_table.h"
#include "libvmm/boot/acpi/aml_resources.h"

namespace libvmm {

// A CPU. Its ACPI processor UID is its index in the list.
struct AcpiProcessor {
  uint32_t apic_id = 0;
  // False for a CPU that may be brought up later ("online capable").
  bool enabled = true;
};

struct AcpiIoApic {
  uint8_t id = 0;
  uint32_t gpa = 0xfec0'0000;
  uint32_t gsi_base = 0;  // the GSI of its pin 0
};

// An ISA interrupt whose GSI or signalling is not that of the ISA bus.
struct AcpiInterruptOverride {
  uint8_t irq = 0;  // 0 to 15
  uint32_t gsi = 0;
  aml::Trigger trigger = aml::Trigger::kEdge;
  aml::Polarity polarity = aml::Polarity::kActiveHigh;

  // The timer's interrupt at pin 2 of the IOAPIC, as PCs and KVM wire it.
  [[nodiscard]] static constexpr AcpiInterruptOverride Pit() {
    return {.irq = 0, .gsi = 2};
  }
  // A level-triggered interrupt in its own place: the SCI, or what PCI
  // interrupts are routed to below 16.
  [[nodiscard]] static constexpr AcpiInterruptOverride Level(uint8_t irq) {
    return {.irq = irq, .gsi = irq, .trigger = aml::Trigger::kLevel};
  }
};

struct MadtConfig {
  // The first is the boot CPU.
  std::vector<AcpiProcessor> processors = {{}};
  uint32_t local_apic = 0xfee0'0000;  // gpa
  std::vector<AcpiIoApic> io_apics = {{}};
  std::vector<AcpiInterruptOverride> overrides = {
      AcpiInterruptOverride::Pit(), AcpiInterruptOverride::Level(9)};
  // A pair of 8259s is there too, to be masked (PCAT_COMPAT).
  bool dual_8259 = true;
  // The input of every local APIC that NMIs come in at.
  std::optional<uint8_t> nmi_lint = 1;

  // kInvalidArgument: no processor; two with one APIC id, or the id
  // 0xffffffff; an id below 255 at an index above 254 (such a CPU's entry has
  // room for a UID of 8 bits); an override of an irq above 15, or two of one;
  // an LINT above 1; two IOAPICs with one id.
  [[nodiscard]] absl::Status Validate() const;
};

// Multiple APIC Description Table, "APIC" (ACPI 6.4, chapter 5.2.12). CPUs with
// ids of 255 and above get x2APIC entries. `config` is valid.
[[nodiscard]] std::vector<std::byte> MakeMadt(const AcpiIdentity& identity,
                                              const MadtConfig& config);

}  // namespace libvmm

#endif  // LIBVMM_BOOT_ACPI_MADT_H_
