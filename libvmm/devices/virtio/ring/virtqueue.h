// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_VIRTIO_RING_VIRTQUEUE_H_
#define LIBVMM_DEVICES_VIRTIO_RING_VIRTQUEUE_H_

#include <cstdint>
#include <optional>
#include <variant>

#include "absl/status/status.h"
#include "libvmm/devices/virtio/ring/descriptor_chain.h"
#include "libvmm/devices/virtio/ring/packed_ring.h"
#include "libvmm/devices/virtio/ring/pop_result.h"
#include "libvmm/devices/virtio/ring/split_ring.h"
#include "libvmm/devices/virtio/ring/virtqueue_config.h"
#include "libvmm/devices/virtio/ring/virtqueue_state.h"
#include "libvmm/memory/guest_memory.h"

namespace libvmm {

// The device's side of a virtqueue, split or packed (virtio 1.2, sections 2.7
// and 2.8): takes chains that the driver made available, gives used ones back,
// and decides whether the driver wants to know.
//
//   DescriptorChain chain;
//   while (queue.Pop(chain) == PopResult::kChain) {
//     ...                                   // Read, write.
//     queue.Push(chain.token(), written);
//   }
//   if (queue.Publish()) link.Interrupt(index);
//
// The driver is hostile and writes the ring while it is read. Each descriptor is
// copied once and the copy checked: indices, lengths and their sum, loops,
// readable before writable, indirect tables, every byte of a buffer in memory.
// A chain that fails any of it is kMalformed, never a shorter chain. So is one
// more than the ring has places, popped and not pushed: a device needs no more
// room for requests than that.
//
// Thread-safety: thread-compatible; its ring is shared with the driver.
// Ownership: refers to the memory. The ring's three areas are translated when it
//     is made, and again by Refresh when the memory map changed since; they are
//     touched until GuestMemory::Reclaim at most.
// Errors: of Restore; the guest's mistakes are values.
// Cost: no allocation, no lock, no system call. A chain of one descriptor,
//     popped, pushed and published alone: see docs/performance.md.
class Virtqueue {
 public:
  // Nothing when the driver's ring cannot be: VirtqueueConfig::size is not 1 to
  // 32768 (split: a power of two), an area is not aligned as the spec wants,
  // not wholly memory that lies together in one region, or not writable where
  // the device writes. `memory` must outlive the queue.
  static std::optional<Virtqueue> Create(GuestMemory& memory,
                                         const VirtqueueConfig& config);

  Virtqueue(Virtqueue&&) noexcept = default;
  Virtqueue& operator=(Virtqueue&&) noexcept = default;

  [[nodiscard]] const VirtqueueConfig& config() const;

  // Takes the next available chain. `chain` is unspecified unless it is kChain.
  [[nodiscard]] PopResult Pop(DescriptorChain& chain);

  // Undoes the last Pop, which gave `token` and after which nothing else was
  // popped: the device cannot serve it yet. The next Pop reads it anew, and may
  // find another chain there if the driver misbehaves.
  void Unpop(ChainToken token);

  // Gives a chain back, `written` bytes of its device-writable part (from the
  // front) having been written. Not seen by the driver before Publish. Any
  // order, unless VirtqueueConfig::in_order says that of Pop.
  void Push(ChainToken token, uint32_t written);

  // Shows the driver what was pushed since the last Publish, as one batch.
  // True: it wants to be interrupted for it (event index or flags; virtio 1.2,
  // sections 2.7.7, 2.7.10, 2.8.10). False too when nothing was pushed.
  [[nodiscard]] bool Publish();

  // Asks the driver not to notify about available chains: the device is looking
  // already. Only a hint to the driver.
  void DisableNotifications();

  // Asks it to notify again. True when there are chains that it made available
  // before it could know: look again, or nobody will tell. Without asking for
  // anything where VirtqueueConfig::polled is set.
  [[nodiscard]] bool EnableNotifications();

  // To be called before a burst of the above when the memory map may have
  // changed: translates the areas anew if so, and forgets where buffers were.
  // False: the areas are memory no more, and the queue is as after kMalformed.
  [[nodiscard]] bool Refresh();

  // Whether a malformed chain was found.
  [[nodiscard]] bool broken() const;

  // How far the device has got. Chains popped and not pushed are the caller's
  // to remember; what was pushed and not published is published first.
  [[nodiscard]] VirtqueueState Save();
  // kInvalidArgument names what cannot be for a ring of this size and layout;
  // then nothing has changed.
  [[nodiscard]] absl::Status Restore(const VirtqueueState& state);

 private:
  explicit Virtqueue(std::variant<SplitRing, PackedRing> ring);

  std::variant<SplitRing, PackedRing> ring_;
};

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_VIRTIO_RING_VIRTQUEUE_H_
