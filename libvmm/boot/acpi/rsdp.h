// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_BOOT_ACPI_RSDP_H_
#define LIBVMM_BOOT_ACPI_RSDP_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "libvmm/base/address.h"
#include "libvmm/boot/acpi/acpi_table.h"

namespace libvmm {

// Root System Description Pointer of revision 2 (ACPI 6.4, chapter 5.2.5.3),
// with the address of an XSDT and no RSDT. A guest that is not told where it is
// looks at each 16th byte from 0xe0000 to 0xfffff.
[[nodiscard]] std::vector<std::byte> MakeRsdp(const AcpiIdentity& identity,
                                              Gpa xsdt);

inline constexpr uint64_t kRsdpAlignment = 16;
inline constexpr size_t kRsdpXsdtOffset = 24;
// Where the second checksum, over all of it, stands; the first is over the
// bytes that ACPI 1.0 defined.
inline constexpr size_t kRsdpChecksumOffset = 8;
inline constexpr size_t kRsdpChecksummedSize = 20;
inline constexpr size_t kRsdpExtendedChecksumOffset = 32;
inline constexpr size_t kRsdpSize = 36;

// Extended System Description Table, "XSDT" (chapter 5.2.8): where the other
// tables are, but RSDP, FACS and DSDT.
[[nodiscard]] std::vector<std::byte> MakeXsdt(const AcpiIdentity& identity,
                                              std::span<const Gpa> tables);

}  // namespace libvmm

#endif  // LIBVMM_BOOT_ACPI_RSDP_H_
