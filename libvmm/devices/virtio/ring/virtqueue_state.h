// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_VIRTIO_RING_VIRTQUEUE_STATE_H_
#define LIBVMM_DEVICES_VIRTIO_RING_VIRTQUEUE_STATE_H_

#include <cstdint>

#include "absl/status/status.h"
#include "libvmm/devices/virtio/ring/virtqueue_config.h"

namespace libvmm {

// How far a device has got with a virtqueue, beside what is in guest memory.
// Positions are what the layout has: split, free-running 16-bit indices; packed,
// bits 14:0 a place in the ring and bit 15 the wrap counter, as the spec writes
// them in event suppression structures (virtio 1.2, section 2.8.10).
//
// As it is made, all is zero; packed, the wrap counters are one.
//
// Thread-safety: a value.
struct VirtqueueState {
  // Where the device looks for the next available chain.
  uint16_t next_available = 0;
  // Where it puts the next used one.
  uint16_t next_used = 0;
  // Up to where it last decided whether to interrupt.
  uint16_t signalled_used = 0;
  // A malformed chain was found: nothing is given out any more.
  bool broken = false;

  // kInvalidArgument names the member that cannot be for a ring of this size
  // and layout: packed, a place behind its end; more chains in the device's
  // hands than it has places.
  [[nodiscard]] absl::Status Validate(const VirtqueueConfig& config) const;

  friend constexpr bool operator==(const VirtqueueState&,
                                   const VirtqueueState&) = default;
};

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_VIRTIO_RING_VIRTQUEUE_STATE_H_
