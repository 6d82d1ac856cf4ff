// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_VIRTIO_VSOCK_INTERNAL_VSOCK_POOL_H_
#define LIBVMM_DEVICES_VIRTIO_VSOCK_INTERNAL_VSOCK_POOL_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "libvmm/devices/virtio/device/link_slot.h"
#include "libvmm/devices/virtio/vsock/internal/atomic_bits.h"
#include "libvmm/devices/virtio/vsock/internal/vsock_slot.h"
#include "libvmm/devices/virtio/vsock/vsock_stream.h"

namespace libvmm::internal {

// The connections that a device can have: a fixed number of slots, which
// streams and the device share, and the way by which a stream makes the device
// look at one. Streams keep it alive.
//
// Thread-safety: thread-safe, but TakeTouched.
// Errors: none.
// Cost: no lock. Claim looks through the slots, 64 at a time.
class VsockPool : public std::enable_shared_from_this<VsockPool> {
 public:
  VsockPool(uint32_t count, uint32_t buffer_size);
  VsockPool(const VsockPool&) = delete;
  VsockPool& operator=(const VsockPool&) = delete;
  ~VsockPool();

  [[nodiscard]] uint32_t count() const { return count_; }
  [[nodiscard]] VsockSlot& slot(uint32_t index) { return slots_[index]; }
  // Slots that are claimed.
  [[nodiscard]] uint32_t claimed() const {
    return claimed_.load(std::memory_order_relaxed);
  }
  [[nodiscard]] LinkSlot& link_slot() { return link_slot_; }

  // A fresh slot with two references, or null when all are in use.
  VsockSlot* Claim(uint32_t guest_port, bool outgoing);
  // Takes over one of the references.
  VsockStream MakeStream(VsockSlot& slot);
  // Drops a reference; with the last one the slot is free.
  void Release(VsockSlot& slot);
  void MakeBuffers(VsockSlot& slot);

  // Has the device look at the slot.
  void Touch(VsockSlot& slot);
  // The device's side of Touch: calls `visit` for each slot. One of them may
  // have been freed since, or claimed anew.
  template <typename Visit>
  void TakeTouched(Visit visit) {
    touched_.TakeAll([this, &visit](uint32_t index) { visit(slots_[index]); });
  }

 private:
  const uint32_t count_;
  const uint32_t buffer_size_;
  std::unique_ptr<VsockSlot[]> slots_;
  // A bit for each slot that is claimed; those behind the last slot are set.
  std::vector<std::atomic<uint64_t>> used_;
  std::atomic<uint32_t> claimed_ = 0;
  AtomicBits touched_;
  LinkSlot link_slot_;
};

}  // namespace libvmm::internal

#endif  // LIBVMM_DEVICES_VIRTIO_VSOCK_INTERNAL_VSOCK_POOL_H_
