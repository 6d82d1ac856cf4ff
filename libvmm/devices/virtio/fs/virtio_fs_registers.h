// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_VIRTIO_FS_VIRTIO_FS_REGISTERS_H_
#define LIBVMM_DEVICES_VIRTIO_FS_VIRTIO_FS_REGISTERS_H_

// What a driver sees of a file system device (virtio 1.2, section 5.11).

#include <cstddef>
#include <cstdint>

namespace libvmm::virtio::fs {

// Queues (section 5.11.2). Without the notification feature the request queues
// follow the high-priority one directly.
inline constexpr uint16_t kHighPriorityQueue = 0;
inline constexpr uint16_t kFirstRequestQueue = 1;

// Bytes of the tag: UTF-8, NULs behind it, none when it fills the field.
inline constexpr size_t kTagSize = 36;

// Configuration space (section 5.11.4).
struct Config {
  char tag[kTagSize] = {};
  uint32_t request_queues = 0;
};
static_assert(sizeof(Config) == 40);

}  // namespace libvmm::virtio::fs

#endif  // LIBVMM_DEVICES_VIRTIO_FS_VIRTIO_FS_REGISTERS_H_
