// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_VIRTIO_ENTROPY_SYSTEM_ENTROPY_H_
#define LIBVMM_DEVICES_VIRTIO_ENTROPY_SYSTEM_ENTROPY_H_

#include <cstddef>
#include <span>

namespace libvmm {

// The kernel's random bytes (getrandom(2)), as a source of VirtioEntropy.
//
// Thread-safety: thread-safe, and has no state.
// Errors: none; what the kernel did not give is missing from the result.
// Cost: a system call, which never waits.
class SystemEntropy {
 public:
  // Fills `to` from the front and returns how many bytes it did. Fewer, and
  // maybe none, early in the host's boot or when a signal came in between.
  size_t operator()(std::span<std::byte> to) const;
};

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_VIRTIO_ENTROPY_SYSTEM_ENTROPY_H_
