// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_VIRTIO_TRANSPORT_VIRTIO_FRONT_END_STATE_H_
#define LIBVMM_DEVICES_VIRTIO_TRANSPORT_VIRTIO_FRONT_END_STATE_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "libvmm/base/address.h"
#include "libvmm/devices/virtio/ring/virtqueue_state.h"

namespace libvmm {

// All that a VirtioFrontEnd remembers of its driver. What is right for one
// device is wrong for another, so VirtioFrontEnd::Validate checks it.
//
// Thread-safety: thread-compatible value.
struct VirtioFrontEndState {
  // The driver's registers of a queue, and how far the device has got.
  struct Queue {
    uint16_t size = 0;
    Gpa descriptors = {};
    Gpa driver = {};
    Gpa device = {};
    bool enabled = false;
    // There if and only if the queue is enabled and the device active.
    std::optional<VirtqueueState> ring = std::nullopt;

    friend bool operator==(const Queue&, const Queue&) = default;
  };

  // As VirtioFrontEnd::ReadStatus.
  uint8_t status = 0;
  uint64_t driver_features = 0;
  uint32_t config_generation = 0;
  std::vector<Queue> queues = {};

  friend bool operator==(const VirtioFrontEndState&,
                         const VirtioFrontEndState&) = default;
};

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_VIRTIO_TRANSPORT_VIRTIO_FRONT_END_STATE_H_
