// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_TESTING_STRAIGHT_VIRTQUEUE_H_
#define LIBVMM_TESTING_STRAIGHT_VIRTQUEUE_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "libvmm/base/address.h"
#include "libvmm/devices/virtio/ring/descriptor_chain.h"
#include "libvmm/devices/virtio/ring/pop_result.h"
#include "libvmm/devices/virtio/ring/ring_layout.h"
#include "libvmm/devices/virtio/ring/virtqueue_config.h"
#include "libvmm/memory/guest_memory.h"

namespace libvmm::testing {

// The device's side of a virtqueue written straight from the specification: it
// keeps no pointer and looks each address of the ring up anew, each time. What
// Virtqueue is measured against, and compared with on rings that no driver
// makes. Areas must be as Virtqueue::Create wants them.
//
// Thread-safety: thread-compatible.
// Ownership: refers to the memory.
// Cost: a lookup for each access of the ring; none allocates once the longest
//     chain was seen.
class StraightVirtqueue {
 public:
  struct Segment {
    std::byte* data = nullptr;
    uint64_t size = 0;
    Gpa gpa = {};
    bool writable = false;
  };

  StraightVirtqueue(GuestMemory& memory, const VirtqueueConfig& config)
      : memory_(memory), config_(config) {}

  [[nodiscard]] PopResult Pop();
  // Of the last chain.
  [[nodiscard]] const std::vector<Segment>& chain() const { return chain_; }
  [[nodiscard]] ChainToken token() const { return token_; }
  void Unpop();

  void Push(ChainToken token, uint32_t written);
  [[nodiscard]] bool Publish();
  void DisableNotifications();
  [[nodiscard]] bool EnableNotifications();

 private:
  struct Descriptor {
    uint64_t address = 0;
    uint32_t size = 0;
    uint16_t flags = 0;
    // Split: next; packed: id.
    uint16_t last = 0;
  };

  bool PopSplit();
  bool PopPacked();
  std::optional<Descriptor> Read(Gpa at) const;
  bool AddBuffer(const Descriptor& descriptor);
  bool AddTable(const Descriptor& descriptor);
  [[nodiscard]] bool WellFormed() const;
  [[nodiscard]] bool AvailableAt(uint64_t position) const;
  [[nodiscard]] bool PackedWrap(uint64_t position) const {
    return position / config_.size % 2 == 0;
  }
  [[nodiscard]] uint16_t Load(Gpa gpa, std::memory_order order) const {
    return memory_.Load<uint16_t>(gpa, order).value_or(0);
  }

  GuestMemory& memory_;
  VirtqueueConfig config_;
  bool broken_ = false;
  std::vector<Segment> chain_;
  ChainToken token_;
  // Counted in chains, or packed in places, and going round nowhere.
  uint64_t available_ = 0;
  // Split: up to where the driver's index made chains available when it was
  // last read, which is when there were none left.
  uint64_t seen_ = 0;
  uint64_t used_ = 0;
  uint64_t published_ = 0;
  // Packed: the first used descriptor of the batch.
  uint64_t first_word_ = 0;
};

}  // namespace libvmm::testing

#endif  // LIBVMM_TESTING_STRAIGHT_VIRTQUEUE_H_
