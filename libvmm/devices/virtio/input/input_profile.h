// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_VIRTIO_INPUT_INPUT_PROFILE_H_
#define LIBVMM_DEVICES_VIRTIO_INPUT_INPUT_PROFILE_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "libvmm/devices/virtio/input/input_registers.h"

namespace libvmm {

// What an input device is and which events it can give: all that a driver reads
// of it (virtio 1.2, section 5.8.5).
//
// Thread-safety: a value.
struct InputProfile {
  // The events of one type.
  struct Events {
    uint8_t type = 0;
    // Each below virtio::input::kCodeCount.
    std::vector<uint16_t> codes = {};
  };
  struct AbsoluteAxis {
    // An input_code of kAbsolute.
    uint8_t code = 0;
    virtio::input::Axis range = {};
  };

  // Up to virtio::input::kDataSize bytes each.
  std::string name = {};
  std::string serial = {};
  virtio::input::Ids ids = {};
  // INPUT_PROP_ codes of evdev.
  std::vector<uint16_t> properties = {};
  // No type twice.
  std::vector<Events> events = {};
  // One for each code of type kAbsolute, and no other.
  std::vector<AbsoluteAxis> axes = {};

  // A keyboard with all keys, three lights and repeat by the guest.
  static InputProfile Keyboard();

  // A pointer that knows where on the screen it is: X and Y from zero to
  // kTabletRange, five buttons, two wheels.
  static constexpr uint32_t kTabletRange = 0x7fff;
  static InputProfile Tablet();

  // kInvalidArgument names what cannot be.
  [[nodiscard]] absl::Status Validate() const;

  // Whether an event is one of `events`.
  [[nodiscard]] bool Has(uint16_t type, uint16_t code) const;

  // What the configuration space shows for a selection (section 5.8.5): writes
  // it to the front of `data`, and zeroes behind; returns its size.
  size_t Show(uint8_t select, uint8_t subselect,
              std::span<std::byte, virtio::input::kDataSize> data) const;
};

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_VIRTIO_INPUT_INPUT_PROFILE_H_
