// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_VIRTIO_NET_NET_HEADER_H_
#define LIBVMM_DEVICES_VIRTIO_NET_NET_HEADER_H_

#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace libvmm {

// What stands before each frame in a virtqueue and tells what is left to do for
// it (virtio 1.2, section 5.1.6). Linux's tap devices have the same header, so
// it passes through. Little-endian, as the host is.
//
// Thread-safety: a value.
struct NetHeader {
  // Bits of `flags`: the checksum at csum_start + csum_offset is to be finished,
  // over the bytes from csum_start on; the checksums are known to be right.
  static constexpr uint8_t kNeedsChecksum = 1;
  static constexpr uint8_t kDataValid = 2;

  // Values of `gso_type`: the frame is to be cut into ones whose payload has
  // gso_size bytes. kGsoEcn is a bit beside them.
  static constexpr uint8_t kGsoNone = 0;
  static constexpr uint8_t kGsoTcp4 = 1;
  static constexpr uint8_t kGsoUdp = 3;
  static constexpr uint8_t kGsoTcp6 = 4;
  static constexpr uint8_t kGsoUdpL4 = 5;
  static constexpr uint8_t kGsoEcn = 0x80;

  uint8_t flags = 0;
  uint8_t gso_type = kGsoNone;
  uint16_t hdr_len = 0;
  uint16_t gso_size = 0;
  uint16_t csum_start = 0;
  uint16_t csum_offset = 0;
  // Of received frames: how many buffers it lies in.
  uint16_t num_buffers = 0;

  friend constexpr bool operator==(const NetHeader&,
                                   const NetHeader&) = default;
};

static_assert(sizeof(NetHeader) == 12);
static_assert(offsetof(NetHeader, hdr_len) == 2);
static_assert(offsetof(NetHeader, csum_start) == 6);
static_assert(offsetof(NetHeader, num_buffers) == 10);
static_assert(std::is_trivially_copyable_v<NetHeader>);

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_VIRTIO_NET_NET_HEADER_H_
