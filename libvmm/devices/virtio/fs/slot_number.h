// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_VIRTIO_FS_SLOT_NUMBER_H_
#define LIBVMM_DEVICES_VIRTIO_FS_SLOT_NUMBER_H_

#include <cstdint>
#include <limits>

namespace libvmm::internal {

// The number by which a guest names a place in a table: the place, counted from
// one, in the low half; in the high half how often the place was given away, so
// that a number forgotten is not taken for the next one.
//
// Thread-safety: a value.
struct SlotNumber {
  uint32_t index = 0;
  uint32_t generation = 0;

  [[nodiscard]] constexpr uint64_t Encode() const {
    return uint64_t{generation} << kHalf | (uint64_t{index} + 1);
  }
  // Any number; one that Encode does not make has an index that no table has.
  [[nodiscard]] static constexpr SlotNumber Decode(uint64_t number) {
    return {.index = static_cast<uint32_t>(number) - 1,
            .generation = static_cast<uint32_t>(number >> kHalf)};
  }

 private:
  static constexpr unsigned kHalf = std::numeric_limits<uint32_t>::digits;
};

}  // namespace libvmm::internal

#endif  // LIBVMM_DEVICES_VIRTIO_FS_SLOT_NUMBER_H_
