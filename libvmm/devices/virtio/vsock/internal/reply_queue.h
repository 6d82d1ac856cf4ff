// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_VIRTIO_VSOCK_INTERNAL_REPLY_QUEUE_H_
#define LIBVMM_DEVICES_VIRTIO_VSOCK_INTERNAL_REPLY_QUEUE_H_

#include <array>
#include <cstddef>
#include <cstdint>

#include "libvmm/base/check.h"
#include "libvmm/devices/virtio/vsock/internal/port_table.h"

namespace libvmm::internal {

// RSTs that wait for receive buffers: to whom, and of which Header::type. The
// first in is the first out.
//
// Thread-safety: thread-compatible.
// Errors: none.
template <size_t kCapacity>
class ReplyQueue {
 public:
  struct Reply {
    PortPair ports;
    uint16_t type = 0;
  };

  [[nodiscard]] bool empty() const { return size_ == 0; }
  [[nodiscard]] bool full() const { return size_ == kCapacity; }

  // Not full.
  void Push(const Reply& reply) {
    LIBVMM_DCHECK(!full());
    replies_[(first_ + size_++) % kCapacity] = reply;
  }
  // Not empty.
  Reply Pop() {
    LIBVMM_DCHECK(!empty());
    const Reply reply = replies_[first_];
    first_ = (first_ + 1) % kCapacity;
    --size_;
    return reply;
  }
  void Clear() { size_ = 0; }

 private:
  std::array<Reply, kCapacity> replies_;
  size_t first_ = 0;
  size_t size_ = 0;
};

}  // namespace libvmm::internal

#endif  // LIBVMM_DEVICES_VIRTIO_VSOCK_INTERNAL_REPLY_QUEUE_H_
