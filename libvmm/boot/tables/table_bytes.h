// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_BOOT_TABLES_TABLE_BYTES_H_
#define LIBVMM_BOOT_TABLES_TABLE_BYTES_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"

namespace libvmm {

// A firmware table under construction: bytes in the order in which its
// specification lists the fields, integers in little-endian order.
//
//   TableBytes table;
//   table.Text("MCFG", 4).U32(length).U8(1);
//
// Thread-safety: thread-compatible.
// Ownership: a value.
// Errors: none; a Patch outside the bytes written so far aborts.
// Cost: an allocation whenever the vector grows.
class TableBytes {
 public:
  TableBytes& U8(uint8_t value) { return Integer(value, 1); }
  TableBytes& U16(uint16_t value) { return Integer(value, 2); }
  TableBytes& U32(uint32_t value) { return Integer(value, 4); }
  TableBytes& U64(uint64_t value) { return Integer(value, 8); }
  TableBytes& Bytes(std::span<const std::byte> bytes);
  // The characters of `text`, without a terminator.
  TableBytes& Text(absl::string_view text);
  // The same in a field of `width` bytes: cut, or filled up with `fill`.
  TableBytes& Text(absl::string_view text, size_t width, char fill = ' ');
  TableBytes& Zeros(size_t count);
  // Zeros up to the next multiple of `alignment`, a power of two.
  TableBytes& AlignTo(size_t alignment);

  // Overwrite what stands at `offset`.
  void PatchU8(size_t offset, uint8_t value) { Patch(offset, value, 1); }
  void PatchU16(size_t offset, uint16_t value) { Patch(offset, value, 2); }
  void PatchU32(size_t offset, uint32_t value) { Patch(offset, value, 4); }
  void PatchU64(size_t offset, uint64_t value) { Patch(offset, value, 8); }

  [[nodiscard]] size_t size() const { return bytes_.size(); }
  [[nodiscard]] std::span<const std::byte> bytes() const { return bytes_; }
  [[nodiscard]] std::vector<std::byte> Take() && { return std::move(bytes_); }

 private:
  TableBytes& Integer(uint64_t value, size_t size);
  void Patch(size_t offset, uint64_t value, size_t size);

  std::vector<std::byte> bytes_;
};

// What has to be added to `bytes` for their sum modulo 256 to be zero: the
// checksum of every table that firmware hands to an operating system.
[[nodiscard]] uint8_t ChecksumOf(std::span<const std::byte> bytes);

}  // namespace libvmm

#endif  // LIBVMM_BOOT_TABLES_TABLE_BYTES_H_
