// SPDX-License-Identifier: Apache-2.0
#include "libvmm/boot/tables/table_bytes.h"

#include "libvmm/base/address.h"
#include "libvmm/base/check.h"
#include "libvmm/base/little_endian.h"

namespace libvmm {

TableBytes& TableBytes::Integer(uint64_t value, size_t size) {
  bytes_.resize(bytes_.size() + size);
  StoreLittleEndian(std::span(bytes_).last(size), value);
  return *this;
}

TableBytes& TableBytes::Bytes(std::span<const std::byte> bytes) {
  bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
  return *this;
}

TableBytes& TableBytes::Text(absl::string_view text) {
  return Bytes(std::as_bytes(std::span(text.data(), text.size())));
}

TableBytes& TableBytes::Text(absl::string_view text, size_t width, char fill) {
  text = text.substr(0, width);
  Text(text);
  bytes_.insert(bytes_.end(), width - text.size(),
                static_cast<std::byte>(fill));
  return *this;
}

TableBytes& TableBytes::Zeros(size_t count) {
  bytes_.insert(bytes_.end(), count, std::byte{0});
  return *this;
}

TableBytes& TableBytes::AlignTo(size_t alignment) {
  return Zeros((alignment - bytes_.size() % alignment) % alignment);
}

void TableBytes::Patch(size_t offset, uint64_t value, size_t size) {
  LIBVMM_CHECK(RangeFits(bytes_.size(), offset, size));
  StoreLittleEndian(std::span(bytes_).subspan(offset, size), value);
}

uint8_t ChecksumOf(std::span<const std::byte> bytes) {
  uint8_t sum = 0;
  for (const std::byte byte : bytes) {
    sum = static_cast<uint8_t>(sum + static_cast<uint8_t>(byte));
  }
  return static_cast<uint8_t>(-sum);
}

}  // namespace libvmm
