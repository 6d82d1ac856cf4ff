// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/fw_cfg/fw_cfg_acpi.h"

#include <algorithm>
#include <bit>
#include <limits>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "libvmm/base/address.h"
#include "libvmm/base/little_endian.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/devices/fw_cfg/fw_cfg_machine.h"
#include "libvmm/devices/fw_cfg/table_loader.h"

namespace libvmm {
namespace {

// ACPI 6.4, section 5.2.5.3: the RSDP has one checksum for what ACPI 1.0 knew
// and one for all.
constexpr absl::string_view kRsdpSignature = "RSD PTR ";
constexpr uint32_t kRsdpSize = 36;
constexpr TableLoader::Checksum kRsdpChecksum{
    .offset = 8, .start = 0, .length = 20};
constexpr TableLoader::Checksum kRsdpExtendedChecksum{
    .offset = 32, .start = 0, .length = kRsdpSize};
constexpr uint32_t kRsdpAlignment = 16;

// Section 5.2.6: all other tables begin with the same header, but for the FACS
// (section 5.2.10), which has no checksum.
constexpr absl::string_view kFacsSignature = "FACS";
constexpr size_t kHeaderSize = 36;
constexpr uint32_t kHeaderChecksumOffset = 9;

// Addresses are 32 bits for ACPI 1.0, so firmware keeps them there; this much
// of that is more than enough.
constexpr size_t kMaxTables = size_t{1} << 16;
constexpr uint64_t kMaxTotalSize = uint64_t{1} << 28;

bool HasSignature(std::span<const std::byte> bytes,
                  absl::string_view signature) {
  return bytes.size() >= signature.size() &&
         std::equal(signature.begin(), signature.end(), bytes.begin(),
                    [](char a, std::byte b) {
                      return static_cast<std::byte>(a) == b;
                    });
}

absl::Status Bad(absl::string_view list, size_t index, absl::string_view what) {
  return absl::InvalidArgumentError(
      absl::StrCat("FwCfgAcpi.", list, "[", index, "]", what));
}

}  // namespace

absl::Status FwCfgAcpi::Validate() const {
  if (tables.empty() || tables.size() > kMaxTables) {
    return absl::InvalidArgumentError(
        absl::StrCat("FwCfgAcpi.tables has ", tables.size(), " elements: 1 to ",
                     kMaxTables, " can be"));
  }
  uint64_t total = 0;
  for (size_t i = 0; i < tables.size(); ++i) {
    const Table& table = tables[i];
    if (!std::has_single_bit(table.alignment)) {
      return Bad("tables", i,
                 absl::StrCat(".alignment is ", table.alignment,
                              ": not a power of two"));
    }
    const bool rsdp = HasSignature(table.bytes, kRsdpSignature);
    if (rsdp != (i == 0)) {
      return Bad("tables", i, rsdp ? " is a second RSDP" : " is not the RSDP");
    }
    if (table.bytes.size() < kHeaderSize) {
      return Bad("tables", i,
                 absl::StrCat(" has ", table.bytes.size(),
                              " bytes: less than a header"));
    }
    total += uint64_t{table.bytes.size()} + table.alignment;
    if (table.bytes.size() > kMaxTotalSize || total > kMaxTotalSize) {
      return Bad("tables", i,
                 absl::StrCat(" is too large: all tables have at most ",
                              kMaxTotalSize, " bytes"));
    }
  }
  for (size_t i = 0; i < pointers.size(); ++i) {
    const Pointer& pointer = pointers[i];
    if (pointer.source >= tables.size()) {
      return Bad("pointers", i,
                 absl::StrCat(".source is ", pointer.source, ": no table"));
    }
    if (pointer.target == 0 || pointer.target >= tables.size()) {
      return Bad("pointers", i,
                 absl::StrCat(".target is ", pointer.target,
                              ": no table, or the RSDP"));
    }
    if (pointer.size != sizeof(uint32_t) && pointer.size != sizeof(uint64_t)) {
      return Bad("pointers", i,
                 absl::StrCat(".size is ", pointer.size, ": 4 or 8 can be"));
    }
    if (!RangeFits(tables[pointer.source].bytes.size(), pointer.offset,
                   pointer.size)) {
      return Bad("pointers", i,
                 absl::StrCat(".offset is ", pointer.offset,
                              ": not inside the table"));
    }
  }
  return absl::OkStatus();
}

absl::Status FwCfgAcpi::AddTo(FwCfgItems& items) const {
  LIBVMM_RETURN_IF_ERROR(Validate());
  std::vector<std::byte> rsdp(tables[0].bytes.begin(), tables[0].bytes.end());
  std::vector<std::byte> others;
  // Of each table in its file.
  std::vector<size_t> offsets = {0};
  uint32_t alignment = 1;
  for (const Table& table : std::span(tables).subspan(1)) {
    others.resize((others.size() + table.alignment - 1) &
                  ~(size_t{table.alignment} - 1));
    offsets.push_back(others.size());
    others.insert(others.end(), table.bytes.begin(), table.bytes.end());
    alignment = std::max(alignment, table.alignment);
  }

  TableLoader loader;
  const auto file_of = [](size_t table) {
    return table == 0 ? fw_cfg_file::kAcpiRsdp : fw_cfg_file::kAcpiTables;
  };
  loader.Allocate(
      fw_cfg_file::kAcpiRsdp,
      {.alignment = kRsdpAlignment, .zone = TableLoader::Zone::kFSegment});
  if (!others.empty()) {
    loader.Allocate(fw_cfg_file::kAcpiTables, {.alignment = alignment});
  }
  for (const Pointer& pointer : pointers) {
    const size_t at = offsets[pointer.source] + pointer.offset;
    std::vector<std::byte>& bytes = pointer.source == 0 ? rsdp : others;
    StoreLittleEndian(std::span(bytes).subspan(at, pointer.size),
                      offsets[pointer.target]);
    loader.AddPointer(file_of(pointer.source),
                      {.offset = static_cast<uint32_t>(at),
                       .size = static_cast<uint8_t>(pointer.size)},
                      file_of(pointer.target));
  }
  // What a checksum was before does not matter: it is among the bytes.
  loader.AddChecksum(fw_cfg_file::kAcpiRsdp, kRsdpChecksum);
  loader.AddChecksum(fw_cfg_file::kAcpiRsdp, kRsdpExtendedChecksum);
  for (size_t i = 1; i < tables.size(); ++i) {
    if (HasSignature(tables[i].bytes, kFacsSignature)) continue;
    const auto start = static_cast<uint32_t>(offsets[i]);
    loader.AddChecksum(
        fw_cfg_file::kAcpiTables,
        {.offset = start + kHeaderChecksumOffset,
         .start = start,
         .length = static_cast<uint32_t>(tables[i].bytes.size())});
  }
  LIBVMM_RETURN_IF_ERROR(
      items.AddFile(fw_cfg_file::kAcpiRsdp, std::move(rsdp)));
  if (!others.empty()) {
    LIBVMM_RETURN_IF_ERROR(
        items.AddFile(fw_cfg_file::kAcpiTables, std::move(others)));
  }
  return items.AddFile(fw_cfg_file::kTableLoader, std::move(loader).Take());
}

}  // namespace libvmm
