// SPDX-License-Identifier: Apache-2.0
#include "libvmm/boot/acpi/rsdp.h"

#include <utility>

#include "libvmm/base/check.h"
#include "libvmm/boot/tables/table_bytes.h"

namespace libvmm {

std::vector<std::byte> MakeRsdp(const AcpiIdentity& identity, Gpa xsdt) {
  constexpr size_t kOemIdSize = 6;
  constexpr uint8_t kRevision = 2;
  constexpr size_t kReservedSize = 3;
  TableBytes rsdp;
  rsdp.Text("RSD PTR ");
  rsdp.U8(0);  // Checksum
  rsdp.Text(identity.oem_id, kOemIdSize);
  rsdp.U8(kRevision);
  rsdp.U32(0);  // RsdtAddress
  rsdp.U32(kRsdpSize);
  rsdp.U64(xsdt.value());
  rsdp.U8(0);  // Extended Checksum
  rsdp.Zeros(kReservedSize);
  LIBVMM_CHECK(rsdp.size() == kRsdpSize);
  rsdp.PatchU8(kRsdpChecksumOffset,
               ChecksumOf(rsdp.bytes().first(kRsdpChecksummedSize)));
  rsdp.PatchU8(kRsdpExtendedChecksumOffset, ChecksumOf(rsdp.bytes()));
  return std::move(rsdp).Take();
}

std::vector<std::byte> MakeXsdt(const AcpiIdentity& identity,
                                std::span<const Gpa> tables) {
  constexpr uint8_t kRevision = 1;
  TableBytes body;
  for (const Gpa table : tables) body.U64(table.value());
  return MakeAcpiTable(identity, {.signature = "XSDT", .revision = kRevision},
                       body.bytes());
}

}  // namespace libvmm
