// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_VIRTIO_NET_NET_FRAME_H_
#define LIBVMM_DEVICES_VIRTIO_NET_NET_FRAME_H_

#include <sys/uio.h>

#include <cstddef>
#include <span>

#include "libvmm/devices/virtio/net/net_header.h"
#include "libvmm/devices/virtio/ring/descriptor_chain.h"

namespace libvmm {

// A frame on its way from the driver to a back-end: not copied, in the pieces
// that the driver cut it into. The header is a copy of the host's, checked; the
// pieces are guest memory and may change while they are looked at.
//
// Thread-safety: thread-compatible.
// Ownership: refers to all of it, for the length of a call.
// Errors: none.
class OutgoingFrame {
 public:
  // The header's and those of the longest chain.
  static constexpr size_t kMaxPieces = DescriptorChain::kMaxSegments + 1;

  // At most kMaxPieces. `pieces[0]` is the NetHeader and in host memory; the others are the frame.
  explicit OutgoingFrame(std::span<const iovec> pieces);

  [[nodiscard]] const NetHeader& header() const;
  // Bytes of the frame, without the header.
  [[nodiscard]] size_t size() const { return size_; }
  // The frame, and the frame with the header before it, as writev(2) wants it.
  [[nodiscard]] std::span<const iovec> pieces() const {
    return pieces_.subspan(1);
  }
  [[nodiscard]] std::span<const iovec> pieces_with_header() const {
    return pieces_;
  }

  // Copies the frame without the header from its byte `offset` on, until the
  // frame or `to` ends. Returns how many bytes that were.
  size_t CopyTo(std::span<std::byte> to, size_t offset = 0) const;

 private:
  std::span<const iovec> pieces_;
  size_t size_;
};

// A frame on its way from a back-end to the driver, in the back-end's memory.
//
// Thread-safety: a value.
struct IncomingFrame {
  NetHeader header;
  std::span<const std::byte> bytes;
};

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_VIRTIO_NET_NET_FRAME_H_
