// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_TESTING_MULTIBOOT_BUILDER_H_
#define LIBVMM_TESTING_MULTIBOOT_BUILDER_H_

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <vector>

namespace libvmm::testing {

// A Multiboot header with a right checksum, and `address_fields` behind it, to
// be put anywhere in a file.
inline std::vector<std::byte> MultibootHeader(
    uint32_t flags, std::initializer_list<uint32_t> address_fields = {}) {
  constexpr uint32_t kMagic = 0x1badb002;
  std::vector<uint32_t> words = {kMagic, flags, 0 - kMagic - flags};
  words.insert(words.end(), address_fields);
  const auto bytes = std::as_bytes(std::span(words));
  return {bytes.begin(), bytes.end()};
}

}  // namespace libvmm::testing

#endif  // LIBVMM_TESTING_MULTIBOOT_BUILDER_H_
