// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_BOOT_ACPI_ACPI_TABLE_H_
#define LIBVMM_BOOT_ACPI_ACPI_TABLE_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "libvmm/boot/tables/table_bytes.h"

namespace libvmm {

// Who made the tables, in the header of each (ACPI 6.4, table 5.4).
struct AcpiIdentity {
  std::string oem_id = "LIBVMM";          // at most 6 characters
  std::string oem_table_id = "LIBVMMPC";  // at most 8
  uint32_t oem_revision = 1;
  std::string creator_id = "LVMM";  // at most 4
  uint32_t creator_revision = 1;

  // kInvalidArgument: too long, or not printable ASCII.
  [[nodiscard]] absl::Status Validate() const;
};

// What one System Description Table says of itself.
struct AcpiTableHeader {
  absl::string_view signature;  // four characters
  uint8_t revision = 0;
};

// Offsets of the header that all tables but RSDP and FACS begin with.
inline constexpr size_t kAcpiTableLengthOffset = 4;
inline constexpr size_t kAcpiTableChecksumOffset = 9;
inline constexpr size_t kAcpiTableHeaderSize = 36;

// A System Description Table (ACPI 6.4, chapter 5.2.6) around `body`: header
// with length, body, and the checksum that makes all of it sum to zero.
[[nodiscard]] std::vector<std::byte> MakeAcpiTable(
    const AcpiIdentity& identity, const AcpiTableHeader& header,
    std::span<const std::byte> body);

// A register somewhere: Generic Address Structure (ACPI 6.4, chapter 5.2.3.2).
struct AcpiRegister {
  enum class Space : uint8_t { kSystemMemory = 0, kSystemIo = 1 };
  Space space = Space::kSystemIo;
  uint8_t size = 1;    // in bytes: 1, 2 or 4
  uint8_t access = 0;  // bytes per access: 1, 2 or 4; 0 is `size`
  uint64_t address = 0;

  [[nodiscard]] static constexpr AcpiRegister Port(uint16_t port,
                                                   uint8_t size) {
    return {.space = Space::kSystemIo, .size = size, .address = port};
  }

  // kInvalidArgument, with `name` in the message: a size or an access that is
  // none of the above.
  [[nodiscard]] absl::Status Validate(absl::string_view name) const;

  friend bool operator==(const AcpiRegister&, const AcpiRegister&) = default;
};

// Appends the 12 bytes of the structure.
void AppendAcpiRegister(TableBytes& bytes, const AcpiRegister& reg);

}  // namespace libvmm

#endif  // LIBVMM_BOOT_ACPI_ACPI_TABLE_H_
