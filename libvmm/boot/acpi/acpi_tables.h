// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_BOOT_ACPI_ACPI_TABLES_H_
#define LIBVMM_BOOT_ACPI_ACPI_TABLES_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "libvmm/base/address.h"
#include "libvmm/boot/acpi/acpi_table.h"
#include "libvmm/boot/acpi/dsdt_isa.h"
#include "libvmm/boot/acpi/dsdt_pci.h"
#include "libvmm/boot/acpi/dsdt_system.h"
#include "libvmm/boot/acpi/dsdt_virtio_mmio.h"
#include "libvmm/boot/acpi/fadt.h"
#include "libvmm/boot/acpi/madt.h"
#include "libvmm/boot/tables/placed_bytes.h"

namespace libvmm {

// A PC as its ACPI tables describe it. The default is one CPU with the fixed
// hardware and no device. What follows from it needs no mention: the ports of
// the fixed hardware and ECAM windows are reserved, and the FADT's boot flags
// say which of the devices are there.
struct AcpiConfig {
  AcpiIdentity identity = {};
  std::variant<AcpiFixedHardware, AcpiReducedHardware> hardware =
      AcpiFixedHardware{};
  std::optional<AcpiResetRegister> reset = AcpiResetRegister{};
  uint8_t soft_off_slp_typ = 5;  // what _S5 gives, 0 to 7
  MadtConfig interrupts = {};

  std::vector<AcpiSerialPort> serial_ports = {};
  bool rtc = false;
  std::optional<AcpiI8042> i8042 = {};
  bool vga = false;  // only a boot flag
  std::optional<uint16_t> pvpanic_port = {};
  std::vector<AcpiVirtioMmio> virtio_mmio = {};

  struct PciSegment {
    AcpiPciHostBridge bridge = {};
    // Where bus 0 of the segment's memory-mapped configuration space is.
    std::optional<Gpa> ecam = {};
  };
  std::vector<PciSegment> pci = {};

  // For AcpiReducedHardware: the GSI of a power button.
  std::optional<uint32_t> power_button_gsi = {};
  // More ports and memory that drivers must leave alone.
  AcpiReservedResources reserved = {};
  // More objects for the DSDT: AML that stands behind all others.
  std::vector<std::byte> extra_aml = {};

  // kInvalidArgument, naming the field and its value: what a part's own
  // Validate says; slp_typ above 7; more than 15 serial ports, 16 PCI bridges,
  // 4096 virtio devices or 65536 processors; a range that is empty or passes
  // the end of the 64-bit space; a power button GSI with the fixed hardware.
  [[nodiscard]] absl::Status Validate() const;
};

// The tables for one place in guest memory.
//
// Thread-safety: thread-compatible.
// Ownership: a value.
struct AcpiTables {
  // All tables, and zeros between them. The first byte is the RSDP's.
  PlacedBytes memory;

  // What a kernel's boot parameters take as the address of the RSDP.
  [[nodiscard]] Gpa rsdp() const { return memory.gpa; }

  // The same one by one, for a firmware that places the tables itself. The
  // order is RSDP, XSDT, FADT, FACS (with the fixed hardware), DSDT, MADT, MCFG
  // (with ECAM).
  struct Table {
    std::array<char, 4> signature;  // "RSD " for the RSDP
    size_t offset = 0;              // in memory.bytes
    size_t size = 0;
    uint64_t alignment = 1;
  };
  std::vector<Table> tables = {};

  // A little-endian address of table `target` in table `source`. Whoever moves
  // tables rewrites these, and then the source's checksum.
  struct Pointer {
    size_t source = 0;  // index in `tables`
    size_t offset = 0;  // from the start of the table
    size_t size = 0;    // 4 or 8
    size_t target = 0;
  };
  std::vector<Pointer> pointers = {};

  [[nodiscard]] std::span<const std::byte> bytes_of(const Table& table) const {
    return std::span(memory.bytes).subspan(table.offset, table.size);
  }
};

// Lays the tables out from the first multiple of 64 bytes in `space` on. A
// guest that searches for them needs a space in 0xe0000 to 0xfffff; with some
// hundred CPUs they outgrow it and stand elsewhere, known by boot parameters.
//   kInvalidArgument    as AcpiConfig::Validate; space passes the end of the
//                       64-bit space
//   kResourceExhausted  space is too small; says how much they need
// Cost: some allocations for each CPU and device.
[[nodiscard]] absl::StatusOr<AcpiTables> BuildAcpiTables(
    const AcpiConfig& config, GpaRange space);

}  // namespace libvmm

#endif  // LIBVMM_BOOT_ACPI_ACPI_TABLES_H_
