// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_VIRTIO_VSOCK_INTERNAL_SLOT_QUEUE_H_
#define LIBVMM_DEVICES_VIRTIO_VSOCK_INTERNAL_SLOT_QUEUE_H_

#include <cstdint>
#include <vector>

namespace libvmm::internal {

// Numbers below a fixed bound in the order in which they were added, each at
// most once.
//
// Thread-safety: thread-compatible.
// Errors: none.
// Cost: no allocation after the first.
class SlotQueue {
 public:
  explicit SlotQueue(uint32_t count) : ring_(count), queued_(count) {}

  [[nodiscard]] bool empty() const { return size_ == 0; }
  // Not empty.
  [[nodiscard]] uint32_t front() const { return ring_[first_]; }

  // Nothing when `number` is queued already.
  void Push(uint32_t number) {
    if (queued_[number]) return;
    queued_[number] = true;
    uint64_t place = uint64_t{first_} + size_++;
    if (place >= ring_.size()) place -= ring_.size();
    ring_[place] = number;
  }
  // Not empty.
  uint32_t Pop() {
    const uint32_t number = ring_[first_];
    queued_[number] = false;
    if (++first_ == ring_.size()) first_ = 0;
    --size_;
    return number;
  }

 private:
  std::vector<uint32_t> ring_;
  std::vector<bool> queued_;
  uint32_t first_ = 0;
  uint32_t size_ = 0;
};

}  // namespace libvmm::internal

#endif  // LIBVMM_DEVICES_VIRTIO_VSOCK_INTERNAL_SLOT_QUEUE_H_
