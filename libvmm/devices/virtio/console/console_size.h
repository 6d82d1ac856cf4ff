// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_VIRTIO_CONSOLE_CONSOLE_SIZE_H_
#define LIBVMM_DEVICES_VIRTIO_CONSOLE_CONSOLE_SIZE_H_

#include <cstdint>

namespace libvmm {

// A terminal's size in characters.
//
// Thread-safety: a value.
struct ConsoleSize {
  uint16_t columns = 0;
  uint16_t rows = 0;

  friend constexpr bool operator==(const ConsoleSize&,
                                   const ConsoleSize&) = default;
};

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_VIRTIO_CONSOLE_CONSOLE_SIZE_H_
