// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_VIRTIO_RING_POP_RESULT_H_
#define LIBVMM_DEVICES_VIRTIO_RING_POP_RESULT_H_

#include <cstdint>

namespace libvmm {

// What Virtqueue::Pop found.
enum class PopResult : uint8_t {
  // A chain.
  kChain,
  // The driver has made nothing more available.
  kEmpty,
  // A chain, or the ring itself, is not as the specification has it. The queue
  // stays so until it is made anew; a device answers with
  // VirtioLink::Fail (DEVICE_NEEDS_RESET).
  kMalformed,
};

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_VIRTIO_RING_POP_RESULT_H_
