// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_BOOT_ACPI_FADT_H_
#define LIBVMM_BOOT_ACPI_FADT_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "libvmm/base/address.h"
#include "libvmm/boot/acpi/acpi_table.h"

namespace libvmm {

// The ACPI fixed hardware (ACPI 6.4, chapter 4.8): PM1a registers, a PM timer
// and the SCI.
struct AcpiFixedHardware {
  uint16_t pm1a_event = 0x600;               // 4 bytes: status, enable
  uint16_t pm1a_control = 0x604;             // 2 bytes
  std::optional<uint16_t> pm_timer = 0x608;  // 4 bytes
  // The timer counts 32 bits rather than 24 (TMR_VAL_EXT).
  bool pm_timer_32_bit = true;
  // The GSI of the system control interrupt. Below 16 it also wants an
  // override in the MADT that makes it level-triggered.
  uint8_t sci = 9;
  // PM1 has PWRBTN_STS and PWRBTN_EN, SLPBTN_STS and SLPBTN_EN.
  bool power_button = true;
  bool sleep_button = false;

  // General-purpose events: `size` bytes, an even number, the first half of
  // them status, the other enable. An event does something only where the DSDT
  // has a method for it (AcpiConfig::extra_aml).
  struct Gpe0 {
    uint16_t port = 0;
    uint8_t size = 4;
  };
  std::optional<Gpe0> gpe0 = {};

  // The port by which the guest asks for ACPI mode and leaves it. Without one
  // it finds itself in ACPI mode: PM1a control always has SCI_EN set.
  struct SmiCommand {
    uint16_t port = 0xb2;
    uint8_t acpi_enable = 0;
    uint8_t acpi_disable = 0;
  };
  std::optional<SmiCommand> smi = {};
};

// Hardware-reduced ACPI (ACPI 6.4, chapter 4.1): the sleep registers of chapter
// 4.8.3.7 and nothing else. There is no SCI; a power button is a device of the
// namespace (dsdt_system.h).
//
// Linux without EFI does not use the reset register then, unless its command
// line has `reboot=acpi`.
struct AcpiReducedHardware {
  AcpiRegister sleep_control = AcpiRegister::Port(0x600, 1);
  AcpiRegister sleep_status = AcpiRegister::Port(0x601, 1);
};

// The register that resets the machine when `value` is written (chapter
// 4.8.3.6). The default is the reset control register of a PC.
struct AcpiResetRegister {
  AcpiRegister reg = AcpiRegister::Port(0xcf9, 1);
  uint8_t value = 0x06;
};

struct FadtConfig {
  std::variant<AcpiFixedHardware, AcpiReducedHardware> hardware =
      AcpiFixedHardware{};
  std::optional<AcpiResetRegister> reset = AcpiResetRegister{};
  // IAPC_BOOT_ARCH: what the guest may touch without having found it otherwise.
  bool legacy_devices = true;  // devices on an ISA bus, such as serial ports
  bool i8042 = false;
  bool vga = false;
  bool cmos_rtc = false;
  // Local APICs are reached by physical destination mode only (flag
  // FORCE_APIC_PHYSICAL_DESTINATION_MODE).
  bool apic_physical_destination = false;

  // kInvalidArgument: the sleep registers or the reset register are not one
  // byte wide; the size of GPE0 is zero or odd.
  [[nodiscard]] absl::Status Validate() const;
};

// The tables that the FADT points to. No FACS is 0, for reduced hardware only.
struct FadtPointers {
  Gpa dsdt;
  Gpa facs;
};

// Where MakeFadt puts its pointers: 32-bit and 64-bit. The DSDT's stands in
// both fields, the FACS's only in the wide one when it is above 4 GiB, else
// only in the narrow one.
inline constexpr size_t kFadtFacsOffset = 36;
inline constexpr size_t kFadtDsdtOffset = 40;
inline constexpr size_t kFadtXFacsOffset = 132;
inline constexpr size_t kFadtXDsdtOffset = 140;
inline constexpr size_t kFadtSize = 276;

// Fixed ACPI Description Table, "FACP", of revision 6.4 (chapter 5.2.9).
// `config` is valid.
[[nodiscard]] std::vector<std::byte> MakeFadt(const AcpiIdentity& identity,
                                              const FadtConfig& config,
                                              const FadtPointers& pointers);

// Firmware ACPI Control Structure (chapter 5.2.10), version 2: no wake-up, a
// free global lock. Stands at a multiple of 64 bytes.
[[nodiscard]] std::vector<std::byte> MakeFacs();

inline constexpr uint64_t kFacsAlignment = 64;

}  // namespace libvmm

#endif  // LIBVMM_BOOT_ACPI_FADT_H_
