// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_VIRTIO_INPUT_INPUT_REGISTERS_H_
#define LIBVMM_DEVICES_VIRTIO_INPUT_INPUT_REGISTERS_H_

#include <cstddef>
#include <cstdint>

// Input device: virtio 1.2, section 5.8.
namespace libvmm::virtio::input {

// Queues (section 5.8.2).
inline constexpr uint16_t kEventQueue = 0;
inline constexpr uint16_t kStatusQueue = 1;

// Configuration (section 5.8.4), offsets.
enum class Register : uint32_t {
  kSelect = 0,     //  8 rw  what is shown
  kSubselect = 1,  //  8 rw  and of what
  kSize = 2,       //  8 r-  bytes of it; zero: there is no such thing
  kData = 8,       // 128 bytes r-
};
inline constexpr size_t kDataSize = 128;
inline constexpr uint32_t kConfigSize = 136;

enum class Select : uint8_t {
  kNothing = 0x00,
  kName = 0x01,
  kSerial = 0x02,
  kIds = 0x03,
  kProperties = 0x10,
  kEventCodes = 0x11,  // Subselect: the type.
  kAxis = 0x12,        // Subselect: the axis.
};

// Codes that a bit map has room for.
inline constexpr uint16_t kCodeCount = kDataSize * 8;

// In both queues.
struct Event {
  uint16_t type = 0;
  uint16_t code = 0;
  uint32_t value = 0;
};
static_assert(sizeof(Event) == 8);

// Of Select::kIds.
struct Ids {
  uint16_t bus = 0;
  uint16_t vendor = 0;
  uint16_t product = 0;
  uint16_t version = 0;
};
static_assert(sizeof(Ids) == 8);

// Of Select::kAxis.
struct Axis {
  uint32_t minimum = 0;
  uint32_t maximum = 0;
  uint32_t fuzz = 0;
  uint32_t flat = 0;
  uint32_t resolution = 0;
};
static_assert(sizeof(Axis) == 20);

}  // namespace libvmm::virtio::input

#endif  // LIBVMM_DEVICES_VIRTIO_INPUT_INPUT_REGISTERS_H_
