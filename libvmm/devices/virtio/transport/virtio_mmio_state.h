// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_VIRTIO_TRANSPORT_VIRTIO_MMIO_STATE_H_
#define LIBVMM_DEVICES_VIRTIO_TRANSPORT_VIRTIO_MMIO_STATE_H_

#include <cstdint>

namespace libvmm {

// All that a VirtioMmio remembers.
//
// Thread-safety: thread-compatible value.
struct VirtioMmioState {
  uint32_t device_features_select = 0;
  uint32_t driver_features_select = 0;
  uint32_t queue_select = 0;
  uint32_t interrupt_status = 0;

  friend bool operator==(const VirtioMmioState&,
                         const VirtioMmioState&) = default;
};

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_VIRTIO_TRANSPORT_VIRTIO_MMIO_STATE_H_
