// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/virtio/net/net_frame.h"

#include <algorithm>

#include "libvmm/memory/guest_copy.h"

namespace libvmm {

OutgoingFrame::OutgoingFrame(std::span<const iovec> pieces)
    : pieces_(pieces), size_(0) {
  for (const iovec& piece : pieces.subspan(1)) size_ += piece.iov_len;
}

const NetHeader& OutgoingFrame::header() const {
  return *static_cast<const NetHeader*>(pieces_[0].iov_base);
}

size_t OutgoingFrame::CopyTo(std::span<std::byte> to, size_t offset) const {
  size_t copied = 0;
  for (const iovec& piece : pieces()) {
    if (copied == to.size()) break;
    if (offset >= piece.iov_len) {
      offset -= piece.iov_len;
      continue;
    }
    const size_t size = std::min(piece.iov_len - offset, to.size() - copied);
    internal::CopyFromGuest(
        to.data() + copied,
        static_cast<const std::byte*>(piece.iov_base) + offset, size);
    copied += size;
    offset = 0;
  }
  return copied;
}

}  // namespace libvmm
