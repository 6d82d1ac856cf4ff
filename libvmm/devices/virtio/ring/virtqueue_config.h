// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_VIRTIO_RING_VIRTQUEUE_CONFIG_H_
#define LIBVMM_DEVICES_VIRTIO_RING_VIRTQUEUE_CONFIG_H_

#include <cstdint>

#include "libvmm/base/address.h"

namespace libvmm {

// What driver and device agreed on for one virtqueue: the driver's choice of
// size and places, and the ring features it accepted.
//
// Thread-safety: a value.
struct VirtqueueConfig {
  // Places in the ring.
  uint16_t size = 0;
  // Descriptor table or ring; driver area (available ring or event
  // suppression); device area (used ring or event suppression).
  Gpa descriptors = {};
  Gpa driver = {};
  Gpa device = {};

  // VIRTIO_F_RING_PACKED, VIRTIO_F_INDIRECT_DESC, VIRTIO_F_EVENT_IDX and
  // VIRTIO_F_IN_ORDER were negotiated.
  bool packed = false;
  bool indirect = false;
  bool event_index = false;
  bool in_order = false;

  // The device looks for chains by itself: EnableNotifications only looks, and
  // the driver is never asked to notify.
  bool polled = false;

  friend constexpr bool operator==(const VirtqueueConfig&,
                                   const VirtqueueConfig&) = default;
};

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_VIRTIO_RING_VIRTQUEUE_CONFIG_H_
