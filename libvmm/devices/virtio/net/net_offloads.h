// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_VIRTIO_NET_NET_OFFLOADS_H_
#define LIBVMM_DEVICES_VIRTIO_NET_NET_OFFLOADS_H_

#include <cstdint>

#include "libvmm/devices/virtio/net/net_header.h"

namespace libvmm {

// What may be left undone in frames that go one way: the receiver does it, or
// knows that nobody needs to.
//
// Thread-safety: a value.
struct NetOffloads {
  // Checksums of TCP and UDP are not finished. The others want this one.
  bool checksum = false;
  // Segmentation of TCP over IPv4 and IPv6, and with ECN bits.
  bool tso4 = false;
  bool tso6 = false;
  bool ecn = false;
  // Fragmentation of UDP, and segmentation of it.
  bool ufo = false;
  bool uso = false;

  static constexpr NetOffloads All() {
    return {.checksum = true,
            .tso4 = true,
            .tso6 = true,
            .ecn = true,
            .ufo = true,
            .uso = true};
  }

  // Those of both.
  [[nodiscard]] NetOffloads And(const NetOffloads& other) const;
  // Without those that want one that is not there (virtio 1.2, section
  // 5.1.3.1).
  [[nodiscard]] NetOffloads Consistent() const;
  // Whether frames may be larger than the MTU.
  [[nodiscard]] bool segmentation() const { return tso4 || tso6 || ufo || uso; }
  // Whether a frame with this header asks for no more than these.
  [[nodiscard]] bool Allow(const NetHeader& header) const;

  // The feature bits that say so: VIRTIO_NET_F_CSUM and HOST_* for frames from
  // the driver, GUEST_* for those to it; and the offloads of such bits.
  [[nodiscard]] uint64_t HostFeatures() const;
  [[nodiscard]] uint64_t GuestFeatures() const;
  static NetOffloads FromHostFeatures(uint64_t features);
  static NetOffloads FromGuestFeatures(uint64_t features);

  friend constexpr bool operator==(const NetOffloads&,
                                   const NetOffloads&) = default;
};

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_VIRTIO_NET_NET_OFFLOADS_H_
