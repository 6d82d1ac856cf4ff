// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_VIRTIO_TRANSPORT_VIRTIO_PCI_STATE_H_
#define LIBVMM_DEVICES_VIRTIO_TRANSPORT_VIRTIO_PCI_STATE_H_

#include <cstdint>
#include <vector>

namespace libvmm {

// All that a VirtioPci remembers beside its PciFunction.
//
// Thread-safety: thread-compatible value.
struct VirtioPciState {
  uint32_t device_feature_select = 0;
  uint32_t driver_feature_select = 0;
  uint16_t queue_select = 0;
  // Vectors of MSI-X, or 0xffff (VIRTIO_MSI_NO_VECTOR).
  uint16_t config_vector = 0xffff;
  std::vector<uint16_t> queue_vectors = {};
  uint8_t isr = 0;

  friend bool operator==(const VirtioPciState&,
                         const VirtioPciState&) = default;
};

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_VIRTIO_TRANSPORT_VIRTIO_PCI_STATE_H_
