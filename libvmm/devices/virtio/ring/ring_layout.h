// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_VIRTIO_RING_RING_LAYOUT_H_
#define LIBVMM_DEVICES_VIRTIO_RING_RING_LAYOUT_H_

#include <bit>
#include <cstdint>

// What rings look like in guest memory: virtio 1.2, section 2.7 for the split
// layout, 2.8 for the packed one. Little-endian, as the host is.
namespace libvmm::virtio {

static_assert(std::endian::native == std::endian::little);

inline constexpr uint16_t kMaxQueueSize = 32768;
// A chain has so many bytes at most (sections 2.7.5.2, 2.8.12).
inline constexpr uint64_t kMaxChainSize = uint64_t{1} << 32;

// ---- Descriptors, alike in size (2.7.5, 2.8.14) -----------------------------

inline constexpr uint64_t kDescriptorSize = 16;
inline constexpr uint64_t kDescriptorAlignment = 16;
// The second of a descriptor's two words of 8 bytes; the first is the address.
inline constexpr uint64_t kDescriptorSecondWord = 8;

inline constexpr uint16_t kDescriptorNext = 1 << 0;
inline constexpr uint16_t kDescriptorWrite = 1 << 1;
inline constexpr uint16_t kDescriptorIndirect = 1 << 2;
// Packed only (2.8.1).
inline constexpr uint16_t kDescriptorAvailable = 1 << 7;
inline constexpr uint16_t kDescriptorUsed = 1 << 15;

// A descriptor of a split ring or of its indirect tables, from its two words.
struct SplitDescriptor {
  uint64_t address = 0;
  uint32_t size = 0;
  uint16_t flags = 0;
  uint16_t next = 0;

  static constexpr SplitDescriptor FromWords(uint64_t first, uint64_t second) {
    return {.address = first,
            .size = static_cast<uint32_t>(second),
            .flags = static_cast<uint16_t>(second >> 32),
            .next = static_cast<uint16_t>(second >> 48)};
  }
  [[nodiscard]] constexpr uint64_t SecondWord() const {
    return size | uint64_t{flags} << 32 | uint64_t{next} << 48;
  }
};

// A descriptor of a packed ring or of its indirect tables.
struct PackedDescriptor {
  uint64_t address = 0;
  uint32_t size = 0;
  uint16_t id = 0;
  uint16_t flags = 0;

  static constexpr PackedDescriptor FromWords(uint64_t first, uint64_t second) {
    return {.address = first,
            .size = static_cast<uint32_t>(second),
            .id = static_cast<uint16_t>(second >> 32),
            .flags = static_cast<uint16_t>(second >> 48)};
  }
  [[nodiscard]] constexpr uint64_t SecondWord() const {
    return size | uint64_t{id} << 32 | uint64_t{flags} << 48;
  }
};

// ---- Split: the available ring (2.7.6) --------------------------------------

inline constexpr uint64_t kAvailableAlignment = 2;
inline constexpr uint64_t kAvailableFlags = 0;
inline constexpr uint64_t kAvailableIndex = 2;
inline constexpr uint64_t kAvailableRing = 4;
inline constexpr uint64_t kAvailableEntrySize = 2;
inline constexpr uint16_t kAvailableNoInterrupt = 1;

// The index of a used entry behind which the driver wants an interrupt.
constexpr uint64_t UsedEvent(uint16_t size) {
  return kAvailableRing + kAvailableEntrySize * size;
}
constexpr uint64_t AvailableSize(uint16_t size) { return UsedEvent(size) + 2; }

// ---- Split: the used ring (2.7.8) -------------------------------------------

inline constexpr uint64_t kUsedAlignment = 4;
inline constexpr uint64_t kUsedFlags = 0;
inline constexpr uint64_t kUsedIndex = 2;
inline constexpr uint64_t kUsedRing = 4;
// An id and a length, of 4 bytes each.
inline constexpr uint64_t kUsedEntrySize = 8;
inline constexpr uint64_t kUsedEntryLength = 4;
inline constexpr uint16_t kUsedNoNotify = 1;

// The index of an available entry behind which the device wants a notification.
constexpr uint64_t AvailableEvent(uint16_t size) {
  return kUsedRing + kUsedEntrySize * size;
}
constexpr uint64_t UsedSize(uint16_t size) { return AvailableEvent(size) + 2; }

// ---- Packed: event suppression (2.8.10) -------------------------------------

inline constexpr uint64_t kEventSize = 4;
inline constexpr uint64_t kEventAlignment = 4;
// A place in the ring in bits 14:0 and the wrap counter in bit 15.
inline constexpr uint64_t kEventPosition = 0;
inline constexpr uint64_t kEventFlags = 2;
inline constexpr uint16_t kWrapCounter = 1 << 15;

inline constexpr uint16_t kEventFlagsMask = 3;
inline constexpr uint16_t kEventEnable = 0;
inline constexpr uint16_t kEventDisable = 1;
// At a position; only with the event index.
inline constexpr uint16_t kEventAtPosition = 2;

}  // namespace libvmm::virtio

#endif  // LIBVMM_DEVICES_VIRTIO_RING_RING_LAYOUT_H_
