// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_VIRTIO_NET_CHECKSUM_H_
#define LIBVMM_DEVICES_VIRTIO_NET_CHECKSUM_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "libvmm/devices/virtio/net/net_header.h"

namespace libvmm {

// The Internet checksum (RFC 1071) that a frame left undone: the field at
// csum_start + csum_offset has the sum of the pseudo header, and what is to be
// there covers the bytes from csum_start to the end (virtio 1.2, section
// 5.1.6.2).
//
// Thread-safety: functions of their arguments alone.
// Errors: none.

// Whether the field lies in a frame of `frame_size` bytes. True, too, for a
// header that leaves nothing undone.
[[nodiscard]] bool ChecksumFits(const NetHeader& header, size_t frame_size);

// What is to be in the field, its two bytes as they are in memory. Only if it
// fits.
// Cost: a pass over the bytes.
[[nodiscard]] uint16_t FinishedChecksum(const NetHeader& header,
                                        std::span<const std::byte> frame);

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_VIRTIO_NET_CHECKSUM_H_
