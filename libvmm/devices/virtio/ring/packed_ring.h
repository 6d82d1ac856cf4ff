// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_VIRTIO_RING_PACKED_RING_H_
#define LIBVMM_DEVICES_VIRTIO_RING_PACKED_RING_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "absl/status/status.h"
#include "libvmm/base/address.h"
#include "libvmm/devices/virtio/ring/chain_builder.h"
#include "libvmm/devices/virtio/ring/descriptor_chain.h"
#include "libvmm/devices/virtio/ring/pop_result.h"
#include "libvmm/devices/virtio/ring/ring_layout.h"
#include "libvmm/devices/virtio/ring/virtqueue_config.h"
#include "libvmm/devices/virtio/ring/virtqueue_state.h"
#include "libvmm/memory/guest_memory.h"

namespace libvmm {

// A Virtqueue of the packed layout (virtio 1.2, section 2.8), which says what
// the functions do.
//
// A chain lies in consecutive places, its buffer id in the last (2.8.6), and is
// available when the first is: the driver writes that one last. A descriptor
// that refers to an indirect table is a chain by itself (2.8.19).
//
// The used descriptors of a batch are written as they are pushed, but for the
// first, which the driver waits for: Publish writes it. Each chain has its own,
// with VIRTIO_F_IN_ORDER, too (2.8.8 allows one for a batch, which would leave
// the lengths of the others untold).
//
// Thread-safety: thread-compatible; shared with the driver.
// Ownership: refers to the memory.
// Errors: of Restore.
// Cost: a chain of one descriptor touches that and the one it is given back in,
//     which is the same if chains are used in order. Publish is one store and
//     one load that are sequentially consistent: the driver's interrupt wish is
//     read after the batch is seen.
class PackedRing {
 public:
  static std::optional<PackedRing> Create(GuestMemory& memory,
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
  // A place in the ring, and the wrap counter that belongs to it.
  struct Position {
    uint16_t place = 0;
    bool wrap = true;

    // As in VirtqueueState.
    static Position FromBits(uint16_t bits);
    [[nodiscard]] uint16_t Bits() const;

    friend constexpr bool operator==(const Position&,
                                     const Position&) = default;
  };

  PackedRing(GuestMemory& memory, const VirtqueueConfig& config);

  // Translates the areas. False: they are not what they must be.
  bool Map();
  // Nothing of the ring is touched any more.
  [[nodiscard]] bool lost() const { return descriptors_ == nullptr; }

  // `position` and so many places further, at most the size of the ring.
  [[nodiscard]] Position Forward(Position position, uint16_t places) const;
  // Counted from a place with the wrap counter 1 through two rounds.
  [[nodiscard]] uint32_t Linear(Position position) const;
  // Places from `from` on to `to`: 1 to two rounds.
  [[nodiscard]] uint32_t Distance(Position from, Position to) const;
  // Whether flags say that the descriptor at the next place is available.
  [[nodiscard]] bool IsAvailable(uint16_t flags) const;

  // `place` is below the size. The second word is acquired first.
  [[nodiscard]] virtio::PackedDescriptor ReadDescriptor(uint16_t place) const;
  // Pop for any chain, which starts with `descriptor` at the next place.
  PopResult PopChain(DescriptorChain& chain,
                     virtio::PackedDescriptor descriptor);
  // Moves on behind a chain.
  PopResult Take(uint16_t places);
  bool CollectTable(uint64_t address, uint32_t size, ChainBuilder& builder);

  PopResult Break() {
    broken_ = true;
    return PopResult::kMalformed;
  }

  // Writes the used descriptor that was kept back.
  void WriteFirst(std::memory_order order);
  void Mark(Gpa gpa, uint64_t size);

  GuestMemory* memory_;
  VirtqueueConfig config_;

  // Null once they are lost.
  std::byte* descriptors_ = nullptr;
  const std::byte* driver_ = nullptr;
  std::byte* device_ = nullptr;
  // Where the last buffer was.
  GuestMemory::Window window_;
  // The map that all these are of, and whether what is written is to be marked.
  uint64_t generation_ = 0;
  bool tracked_ = false;

  bool broken_ = false;
  Position next_available_;
  // Places of chains popped and not pushed.
  uint32_t held_places_ = 0;
  // Behind the last pushed.
  Position next_used_;
  // How many places of them Publish has not decided about. More than the ring
  // holds if Save showed some to the driver.
  uint64_t undecided_ = 0;
  // The batch's first used descriptor, its second word, if there is a batch.
  bool batch_ = false;
  uint16_t first_place_ = 0;
  uint64_t first_word_ = 0;
};

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_VIRTIO_RING_PACKED_RING_H_
