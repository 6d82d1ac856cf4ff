// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_VIRTIO_RING_SPLIT_RING_H_
#define LIBVMM_DEVICES_VIRTIO_RING_SPLIT_RING_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "absl/status/status.h"
#include "libvmm/devices/virtio/ring/chain_builder.h"
#include "libvmm/devices/virtio/ring/descriptor_chain.h"
#include "libvmm/devices/virtio/ring/pop_result.h"
#include "libvmm/devices/virtio/ring/ring_layout.h"
#include "libvmm/devices/virtio/ring/virtqueue_config.h"
#include "libvmm/devices/virtio/ring/virtqueue_state.h"
#include "libvmm/memory/guest_memory.h"

namespace libvmm {

// A Virtqueue of the split layout (virtio 1.2, section 2.7), which says what the
// functions do.
//
// Chains of the descriptor table are no longer than the table, so loops end. An
// indirect table may be longer than that, up to the segments of a
// DescriptorChain: drivers do so where the device tells them of more segments
// than the queue has places. A chain may have direct descriptors before the one
// that refers to the table (2.7.5.3.2).
//
// With VIRTIO_F_IN_ORDER each chain still has its own used entry (2.7.9 allows
// one for a batch, which would leave the lengths of the others untold).
//
// Thread-safety: thread-compatible; shared with the driver.
// Ownership: refers to the memory.
// Errors: of Restore.
// Cost: a chain of one descriptor touches its available entry, the descriptor
//     and its used entry; the available index is read once for all that it
//     made available. Publish is one store and one load that are sequentially
//     consistent: the driver's interrupt wish is read after the index is seen.
class SplitRing {
 public:
  static std::optional<SplitRing> Create(GuestMemory& memory,
                                         const VirtqueueConfig& config);

  [[nodiscard]] const VirtqueueConfig& config() const { return config_; }
  [[nodiscard]] bool broken() const { return broken_; }

  [[nodiscard]] PopResult Pop(DescriptorChain& chain);
  void Unpop(ChainToken token);
  void Push(ChainToken token, uint32_t written);
  [[nodiscard]] bool Publish();
  void DisableNotifications();
  [[nodiscard]] bool EnableNotifications();
  [[nodiscard]] bool Refresh();
  [[nodiscard]] VirtqueueState Save();
  [[nodiscard]] absl::Status Restore(const VirtqueueState& state);

 private:
  SplitRing(GuestMemory& memory, const VirtqueueConfig& config);

  // Translates the areas. False: they are not what they must be.
  bool Map();
  // Nothing of the ring is touched any more.
  [[nodiscard]] bool lost() const { return used_ == nullptr; }

  // `index` is below the size.
  [[nodiscard]] virtio::SplitDescriptor ReadDescriptor(uint16_t index) const;
  // Pop for any chain, which starts with `descriptor`, that at `head`.
  PopResult PopChain(DescriptorChain& chain, uint16_t head,
                     virtio::SplitDescriptor descriptor);
  bool CollectTable(uint64_t address, uint32_t size, ChainBuilder& builder);

  PopResult Break() {
    broken_ = true;
    return PopResult::kMalformed;
  }

  uint16_t LoadAvailable(uint64_t offset, std::memory_order order) const;
  void StoreUsed(uint64_t offset, uint16_t value, std::memory_order order);
  void MarkUsed(uint64_t offset, uint64_t size);

  GuestMemory* memory_;
  VirtqueueConfig config_;

  // Null once they are lost.
  const std::byte* descriptors_ = nullptr;
  const std::byte* available_ = nullptr;
  std::byte* used_ = nullptr;
  // Where the last buffer was.
  GuestMemory::Window window_;
  // The map that all these are of, and whether what is written is to be marked.
  uint64_t generation_ = 0;
  bool tracked_ = false;

  bool broken_ = false;
  uint16_t next_available_ = 0;
  // Up to where chains are known to be available.
  uint16_t seen_available_ = 0;
  // Behind the last pushed.
  uint16_t next_used_ = 0;
  // How many of them Publish has not decided about. More than the ring holds
  // if Save showed some to the driver.
  uint64_t undecided_ = 0;
};

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_VIRTIO_RING_SPLIT_RING_H_
