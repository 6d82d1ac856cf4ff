// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_VIRTIO_NET_MAC_ADDRESS_H_
#define LIBVMM_DEVICES_VIRTIO_NET_MAC_ADDRESS_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace libvmm {

// An Ethernet address.
//
// Thread-safety: immutable value.
// Errors: of Parse.
class MacAddress {
 public:
  static constexpr size_t kSize = 6;

  // All zeroes.
  constexpr MacAddress() = default;
  explicit constexpr MacAddress(std::array<uint8_t, kSize> bytes)
      : bytes_(bytes) {}
  // The six bytes as a frame has them.
  static MacAddress FromBytes(std::span<const std::byte, kSize> bytes);
  // "52:54:00:12:34:56", of either case. kInvalidArgument quotes what it is.
  static absl::StatusOr<MacAddress> Parse(absl::string_view text);

  [[nodiscard]] constexpr const std::array<uint8_t, kSize>& bytes() const {
    return bytes_;
  }
  // For a group: multicast or broadcast.
  [[nodiscard]] constexpr bool is_group() const { return (bytes_[0] & 1) != 0; }
  [[nodiscard]] constexpr bool is_broadcast() const {
    return bytes_ ==
           std::array<uint8_t, kSize>{0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
  }
  [[nodiscard]] constexpr bool is_zero() const {
    return bytes_ == std::array<uint8_t, kSize>{};
  }

  // In one word, the first byte lowest, and back.
  [[nodiscard]] uint64_t ToWord() const;
  static MacAddress FromWord(uint64_t word);

  // As Parse takes it.
  [[nodiscard]] std::string ToString() const;

  friend constexpr bool operator==(const MacAddress&,
                                   const MacAddress&) = default;

 private:
  std::array<uint8_t, kSize> bytes_{};
};

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_VIRTIO_NET_MAC_ADDRESS_H_
