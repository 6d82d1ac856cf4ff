// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_VIRTIO_DEVICE_VIRTIO_FEATURES_H_
#define LIBVMM_DEVICES_VIRTIO_DEVICE_VIRTIO_FEATURES_H_

#include <cstdint>

// Feature bits that all devices share (virtio 1.2, section 6), as masks. Those
// of one kind of device are in its own folder.
namespace libvmm::virtio {

inline constexpr uint64_t kIndirectDescriptors = uint64_t{1} << 28;
inline constexpr uint64_t kEventIndex = uint64_t{1} << 29;
inline constexpr uint64_t kVersion1 = uint64_t{1} << 32;
inline constexpr uint64_t kAccessPlatform = uint64_t{1} << 33;
inline constexpr uint64_t kRingPacked = uint64_t{1} << 34;
inline constexpr uint64_t kInOrder = uint64_t{1} << 35;
inline constexpr uint64_t kOrderPlatform = uint64_t{1} << 36;
inline constexpr uint64_t kNotificationData = uint64_t{1} << 38;
inline constexpr uint64_t kNotificationConfigData = uint64_t{1} << 39;
inline constexpr uint64_t kRingReset = uint64_t{1} << 40;

// The bits that say something of rings or the transport rather than of a kind
// of device (section 2.2): 24 to 40.
inline constexpr uint64_t kSharedFeatures =
    ((uint64_t{1} << 41) - 1) & ~((uint64_t{1} << 24) - 1);

}  // namespace libvmm::virtio

#endif  // LIBVMM_DEVICES_VIRTIO_DEVICE_VIRTIO_FEATURES_H_
