// SPDX-License-Identifier: Apache-2.0
#include "libvmm/boot/acpi/acpi_table.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "libvmm/base/check.h"
#include "libvmm/base/status_macros.h"

namespace libvmm {
namespace {

constexpr size_t kSignatureSize = 4;
constexpr size_t kOemIdSize = 6;
constexpr size_t kOemTableIdSize = 8;
constexpr size_t kCreatorIdSize = 4;

absl::Status CheckText(absl::string_view field, absl::string_view text,
                       size_t max_size) {
  if (text.size() <= max_size &&
      std::all_of(text.begin(), text.end(), absl::ascii_isprint)) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "ACPI ", field, " is \"", absl::CHexEscape(text), "\", expected at most ",
      max_size, " printable ASCII characters"));
}

bool IsRegisterSize(uint8_t size) {
  return size == 1 || size == 2 || size == 4;
}

// Access Size of a Generic Address Structure.
enum class AccessSize : uint8_t { kByte = 1, kWord = 2, kDWord = 3 };

AccessSize ToAccessSize(uint8_t bytes) {
  switch (bytes) {
    case 1:
      return AccessSize::kByte;
    case 2:
      return AccessSize::kWord;
    default:
      return AccessSize::kDWord;
  }
}

}  // namespace

absl::Status AcpiIdentity::Validate() const {
  LIBVMM_RETURN_IF_ERROR(CheckText("oem_id", oem_id, kOemIdSize));
  LIBVMM_RETURN_IF_ERROR(
      CheckText("oem_table_id", oem_table_id, kOemTableIdSize));
  return CheckText("creator_id", creator_id, kCreatorIdSize);
}

std::vector<std::byte> MakeAcpiTable(const AcpiIdentity& identity,
                                     const AcpiTableHeader& header,
                                     std::span<const std::byte> body) {
  LIBVMM_CHECK(header.signature.size() == kSignatureSize);
  TableBytes table;
  table.Text(header.signature);
  table.U32(static_cast<uint32_t>(kAcpiTableHeaderSize + body.size()));
  table.U8(header.revision);
  table.U8(0);  // the checksum, below
  table.Text(identity.oem_id, kOemIdSize);
  table.Text(identity.oem_table_id, kOemTableIdSize);
  table.U32(identity.oem_revision);
  table.Text(identity.creator_id, kCreatorIdSize);
  table.U32(identity.creator_revision);
  table.Bytes(body);
  table.PatchU8(kAcpiTableChecksumOffset, ChecksumOf(table.bytes()));
  return std::move(table).Take();
}

absl::Status AcpiRegister::Validate(absl::string_view name) const {
  if (!IsRegisterSize(size)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "ACPI ", name, " size is ", size, ", expected 1, 2 or 4 bytes"));
  }
  if (access != 0 && !IsRegisterSize(access)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "ACPI ", name, " access is ", access, ", expected 0, 1, 2 or 4 bytes"));
  }
  return absl::OkStatus();
}

void AppendAcpiRegister(TableBytes& bytes, const AcpiRegister& reg) {
  constexpr uint8_t kBitsPerByte = 8;
  constexpr uint8_t kBitOffset = 0;
  bytes.U8(static_cast<uint8_t>(reg.space));
  bytes.U8(static_cast<uint8_t>(reg.size * kBitsPerByte));
  bytes.U8(kBitOffset);
  bytes.U8(static_cast<uint8_t>(
      ToAccessSize(reg.access != 0 ? reg.access : reg.size)));
  bytes.U64(reg.address);
}

}  // namespace libvmm
