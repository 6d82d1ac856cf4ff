// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_VIRTIO_NET_SEGMENTER_H_
#define LIBVMM_DEVICES_VIRTIO_NET_SEGMENTER_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "libvmm/devices/virtio/net/net_frame.h"
#include "libvmm/devices/virtio/net/net_registers.h"

namespace libvmm {

// Cuts a frame that is to be segmented (NetHeader::gso_type) into ones that are
// not: TCP over IPv4 and IPv6, and UDP of the kind that is segmented rather than
// fragmented. What a network card does; here for a driver that takes no large
// frames from a peer that sends them.
//
//   Segmenter segmenter;
//   if (segmenter.Start(frame)) {
//     while (segmenter.remaining() > 0) Use(segmenter.Next(buffer));
//   }
//
// Every segment has the frame's headers, with length, identification, sequence
// number and flags as they are for it, and all checksums finished.
//
// Thread-safety: thread-compatible.
// Ownership: refers to the frame.
// Errors: none; a frame that is not what its header says is refused.
// Cost: a copy and a checksum of the bytes of a segment.
class Segmenter {
 public:
  // A segment is never larger than the frame.
  static constexpr size_t kMaxSegmentSize = virtio::net::kMaxFrameSize;

  Segmenter() = default;

  // False: it is of no kind that can be cut, or its headers do not lie in it or
  // do not agree with each other.
  [[nodiscard]] bool Start(const IncomingFrame& frame);

  // Bytes of payload that are in no segment yet; a frame that was started has
  // some.
  [[nodiscard]] size_t remaining() const { return payload_.size(); }

  // The next segment, in `buffer`, which has kMaxSegmentSize bytes. Only while
  // there is something left.
  [[nodiscard]] IncomingFrame Next(std::span<std::byte> buffer);

 private:
  void WriteIp(std::span<std::byte> segment);
  void WriteTransport(std::span<std::byte> segment, bool last);

  // Everything before the payload.
  std::span<const std::byte> headers_;
  std::span<const std::byte> payload_;
  size_t segment_size_ = 0;
  size_t ip_at_ = 0;
  size_t transport_at_ = 0;
  size_t checksum_at_ = 0;
  bool ip6_ = false;
  bool udp_ = false;
  // Of the segments made so far: how many, and bytes of payload in them.
  uint16_t count_ = 0;
  uint32_t done_ = 0;
};

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_VIRTIO_NET_SEGMENTER_H_
