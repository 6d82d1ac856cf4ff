// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_FW_CFG_FW_CFG_MACHINE_H_
#define LIBVMM_DEVICES_FW_CFG_FW_CFG_MACHINE_H_

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "libvmm/devices/fw_cfg/fw_cfg_items.h"

namespace libvmm {

// Names of files that firmware looks for.
namespace fw_cfg_file {
inline constexpr absl::string_view kE820 = "etc/e820";
inline constexpr absl::string_view kBootOrder = "bootorder";
inline constexpr absl::string_view kSerialConsole = "etc/sercon-port";
inline constexpr absl::string_view kShowBootMenu = "etc/show-boot-menu";
inline constexpr absl::string_view kBootMenuWait = "etc/boot-menu-wait";
inline constexpr absl::string_view kBootFailWait = "etc/boot-fail-wait";
inline constexpr absl::string_view kAcpiTables = "etc/acpi/tables";
inline constexpr absl::string_view kAcpiRsdp = "etc/acpi/rsdp";
inline constexpr absl::string_view kTableLoader = "etc/table-loader";
inline constexpr absl::string_view kSmbiosAnchor = "etc/smbios/smbios-anchor";
inline constexpr absl::string_view kSmbiosTables = "etc/smbios/smbios-tables";
}  // namespace fw_cfg_file

// What firmware wants to know of a PC, which SeaBIOS (src/fw/paravirt.c,
// src/boot.c) and OVMF read before anything else.
//
// Thread-safety: thread-compatible value.
struct FwCfgMachine {
  // A run of guest memory as ACPI's INT 15h E820h has it.
  struct E820Entry {
    static constexpr uint32_t kRam = 1;
    static constexpr uint32_t kReserved = 2;
    uint64_t start = 0;
    uint64_t size = 0;
    uint32_t type = kRam;
  };

  // CPUs that run from the start, and that may ever run.
  uint16_t cpu_count = 1;
  uint16_t max_cpu_count = 1;
  // All RAM, in bytes, wherever it is.
  uint64_t ram_size = 0;
  // RAM, and reserved ranges in between. SeaBIOS believes it before CMOS; empty
  // for none.
  std::vector<E820Entry> e820 = {};
  // False: there is no display, which sends SeaBIOS's screen to COM1.
  bool has_display = false;
  // How firmware tells a device to boot from: OpenFirmware paths, best first,
  // or "HALT" at the end to try no others. Empty: its own order.
  std::vector<std::string> boot_order = {};
  bool boot_menu = false;
  // Milliseconds to wait at the menu, and before rebooting when nothing boots.
  // A value of 0xffffffff in the latter is for ever. Nothing: its own choice.
  std::optional<uint32_t> boot_menu_wait_ms = std::nullopt;
  std::optional<uint32_t> boot_fail_wait_ms = std::nullopt;
  // I/O port for SeaBIOS's screen and keyboard. Nothing: see has_display.
  std::optional<uint16_t> serial_console_port = std::nullopt;
  std::array<uint8_t, 16> uuid{};
  // ISA IRQ 0 reaches pin 2 of the IOAPIC (an Interrupt Source Override).
  bool irq0_override = true;

  // Adds the items and files of all this. kInvalidArgument names a count of
  // CPUs that cannot be, or a boot_order with a newline or NUL in it; otherwise
  // errors are those of FwCfgItems.
  [[nodiscard]] absl::Status AddTo(FwCfgItems& items) const;
};

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_FW_CFG_FW_CFG_MACHINE_H_
