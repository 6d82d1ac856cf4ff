// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_BASE_LITTLE_ENDIAN_H_
#define LIBVMM_BASE_LITTLE_ENDIAN_H_

#include <climits>
#include <cstddef>
#include <cstdint>
#include <span>

namespace libvmm {

// Integers as an x86 guest has them in registers, tables and files: the lowest
// byte first, in as many bytes as the span has. Where the width is that of a
// type and the host an x86, std::memcpy does the same.
//
// Thread-safety: functions of their arguments alone.
// Errors: none.
// Cost: an instruction or two for each byte.

// `bytes` as a number; what is behind the eighth does not count.
[[nodiscard]] constexpr uint64_t LoadLittleEndian(
    std::span<const std::byte> bytes) {
  uint64_t value = 0;
  for (size_t i = 0; i < bytes.size() && i < sizeof(value); ++i) {
    value |= static_cast<uint64_t>(bytes[i]) << (CHAR_BIT * i);
  }
  return value;
}

// Fills `bytes` with the low bytes of `value`, and zeros behind the eighth.
constexpr void StoreLittleEndian(std::span<std::byte> bytes, uint64_t value) {
  for (std::byte& byte : bytes) {
    byte = static_cast<std::byte>(value);
    value >>= CHAR_BIT;
  }
}

}  // namespace libvmm

#endif  // LIBVMM_BASE_LITTLE_ENDIAN_H_
