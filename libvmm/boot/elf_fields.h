// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_BOOT_ELF_FIELDS_H_
#define LIBVMM_BOOT_ELF_FIELDS_H_

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <type_traits>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "libvmm/base/address.h"

// What the readers of ELF files share: structures out of bytes, and Statuses
// that name a field as the gABI does, its value, and what was expected.
namespace libvmm::elf {

static_assert(std::endian::native == std::endian::little,
              "structures are copied out of the file as they are");

// kInvalidArgument: "ELF e_phentsize is 12, expected 56".
inline absl::Status Malformed(absl::string_view field, uint64_t value,
                              absl::string_view expected) {
  return absl::InvalidArgumentError(
      absl::StrCat("ELF ", field, " is ", value, ", expected ", expected));
}

// kInvalidArgument: "ELF e_entry is 0x10, inside no segment".
inline absl::Status MalformedAddress(absl::string_view field, uint64_t value,
                                     absl::string_view problem) {
  return absl::InvalidArgumentError(
      absl::StrCat("ELF ", field, " is 0x", absl::Hex(value), ", ", problem));
}

// kUnimplemented: "ELF e_type is 1; supported is 2 (ET_EXEC)".
inline absl::Status Unsupported(absl::string_view field, uint64_t value,
                                absl::string_view supported) {
  return absl::UnimplementedError(
      absl::StrCat("ELF ", field, " is ", value, "; supported is ", supported));
}

// Copies a T out of `bytes`; nothing when it does not fit there.
template <typename T>
std::optional<T> ReadAt(std::span<const std::byte> bytes, uint64_t offset) {
  static_assert(std::is_trivially_copyable_v<T>);
  if (!RangeFits(bytes.size(), offset, sizeof(T))) return {};
  T value;
  std::memcpy(&value, bytes.data() + offset, sizeof(T));
  return value;
}

}  // namespace libvmm::elf

#endif  // LIBVMM_BOOT_ELF_FIELDS_H_
