// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_VIRTIO_TRANSPORT_VIRTIO_STATUS_H_
#define LIBVMM_DEVICES_VIRTIO_TRANSPORT_VIRTIO_STATUS_H_

#include <cstdint>

// Bits of the device status field (virtio 1.2, section 2.1), in the order in
// which a driver sets its own.
namespace libvmm::virtio {

inline constexpr uint8_t kStatusAcknowledge = 0x01;
inline constexpr uint8_t kStatusDriver = 0x02;
inline constexpr uint8_t kStatusFeaturesOk = 0x08;
inline constexpr uint8_t kStatusDriverOk = 0x04;
inline constexpr uint8_t kStatusFailed = 0x80;
// The device's.
inline constexpr uint8_t kStatusNeedsReset = 0x40;

}  // namespace libvmm::virtio

#endif  // LIBVMM_DEVICES_VIRTIO_TRANSPORT_VIRTIO_STATUS_H_
