// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_FW_CFG_FW_CFG_ACPI_H_
#define LIBVMM_DEVICES_FW_CFG_FW_CFG_ACPI_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "libvmm/devices/fw_cfg/fw_cfg_items.h"

namespace libvmm {

// ACPI tables for a firmware that places them itself: SeaBIOS and OVMF take
// the bytes from files of the FwCfg, and from another file a script of what to
// allocate, which addresses to fill in and which checksums to make
// ("linker/loader interface": src/fw/romfile_loader.h of SeaBIOS).
//
// Thread-safety: thread-compatible value.
// Ownership: refers to the bytes of the tables, for AddTo only.
struct FwCfgAcpi {
  // One table, complete but for addresses of others. By its first bytes AddTo
  // knows which checksums it has.
  struct Table {
    std::span<const std::byte> bytes;
    // A power of two.
    uint32_t alignment = 1;
  };
  // The RSDP, which stays below 1 MiB, and all others.
  std::vector<Table> tables = {};

  // Where the address of a table goes: what is there is replaced.
  struct Pointer {
    // The table that has it, as an index into `tables`, and the offset there.
    size_t source = 0;
    size_t offset = 0;
    // 4 or 8 bytes.
    size_t size = 0;
    // The table it is the address of; not the RSDP.
    size_t target = 0;
  };
  std::vector<Pointer> pointers = {};

  // Adds the files fw_cfg_file::kAcpiRsdp, kAcpiTables and kTableLoader.
  // kInvalidArgument names the table or pointer that cannot be; otherwise
  // errors are those of FwCfgItems.
  [[nodiscard]] absl::Status AddTo(FwCfgItems& items) const;

 private:
  [[nodiscard]] absl::Status Validate() const;
};

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_FW_CFG_FW_CFG_ACPI_H_
