// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/virtio/ring/split_ring.h"

#include <algorithm>
#include <array>
#include <bit>
#include <limits>
#include <span>
#include <utility>

#include "libvmm/base/address.h"
#include "libvmm/base/hot.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/devices/virtio/ring/ring_layout.h"
#include "libvmm/memory/guest_word.h"

namespace libvmm {

using namespace virtio;  // NOLINT: the layout's names.

SplitRing::SplitRing(GuestMemory& memory, const VirtqueueConfig& config)
    : memory_(&memory), config_(config) {}

std::optional<SplitRing> SplitRing::Create(GuestMemory& memory,
                                           const VirtqueueConfig& config) {
  if (!std::has_single_bit(config.size) || config.size > kMaxQueueSize ||
      !config.descriptors.IsAligned(kDescriptorAlignment) ||
      !config.driver.IsAligned(kAvailableAlignment) ||
      !config.device.IsAligned(kUsedAlignment)) {
    return std::nullopt;
  }
  SplitRing ring(memory, config);
  if (!ring.Map()) return std::nullopt;
  return ring;
}

bool SplitRing::Map() {
  // Before the lookups: when the map changes between them the next Refresh
  // comes here again.
  generation_ = memory_->generation();
  window_ = {};
  const GpaRange descriptors = {config_.descriptors,
                                kDescriptorSize * config_.size};
  const GpaRange available = {config_.driver, AvailableSize(config_.size)};
  const GpaRange used = {config_.device, UsedSize(config_.size)};
  const std::span<const std::byte> descriptor_span =
      memory_->ReadableSpan(descriptors);
  const std::span<const std::byte> available_span =
      memory_->ReadableSpan(available);
  const std::span<std::byte> used_span = memory_->WritableSpan(used);
  if (descriptor_span.size() != descriptors.size ||
      available_span.size() != available.size ||
      used_span.size() != used.size) {
    descriptors_ = available_ = used_ = nullptr;
    return false;
  }
  descriptors_ = descriptor_span.data();
  available_ = available_span.data();
  used_ = used_span.data();
  tracked_ = memory_->IsTrackingDirty(config_.device);
  return true;
}

bool SplitRing::Refresh() {
  if (lost()) return false;
  if (memory_->generation() == generation_) [[likely]]
    return true;
  if (Map()) return true;
  broken_ = true;
  return false;
}

inline uint16_t SplitRing::LoadAvailable(uint64_t offset,
                                         std::memory_order order) const {
  return internal::LoadWord<uint16_t>(available_ + offset, order);
}

inline void SplitRing::MarkUsed(uint64_t offset, uint64_t size) {
  if (tracked_) [[unlikely]]
    memory_->MarkDirty({config_.device + offset, size});
}

inline void SplitRing::StoreUsed(uint64_t offset, uint16_t value,
                                 std::memory_order order) {
  internal::StoreWord<uint16_t>(used_ + offset, value, order);
  MarkUsed(offset, sizeof value);
}

// ---- Available chains -------------------------------------------------------

LIBVMM_HOT PopResult SplitRing::Pop(DescriptorChain& chain) {
  if (broken_) [[unlikely]]
    return PopResult::kMalformed;
  if (next_available_ == seen_available_) {
    // Acquires what the driver wrote before it counted the index up.
    const uint16_t index =
        LoadAvailable(kAvailableIndex, std::memory_order_acquire);
    if (index == next_available_) return PopResult::kEmpty;
    if (static_cast<uint16_t>(index - next_available_) > config_.size)
        [[unlikely]] {
      return Break();
    }
    seen_available_ = index;
  }
  // As many as there are places have not been given back: there can be no more.
  if (static_cast<uint16_t>(next_available_ - next_used_) >= config_.size)
      [[unlikely]] {
    return Break();
  }
  const auto place =
      static_cast<uint16_t>(next_available_ & (config_.size - 1));
  const uint16_t head = LoadAvailable(
      kAvailableRing + kAvailableEntrySize * place, std::memory_order_relaxed);
  if (head >= config_.size) [[unlikely]]
    return Break();
  const SplitDescriptor first = ReadDescriptor(head);
  if ((first.flags & (kDescriptorNext | kDescriptorIndirect)) == 0 &&
      ChainBuilder::BuildSingle(
          window_, chain,
          {.gpa = Gpa(first.address),
           .size = first.size,
           .writable = (first.flags & kDescriptorWrite) != 0},
          {.id = head, .places = 1})) [[likely]] {
    ++next_available_;
    return PopResult::kChain;
  }
  return PopChain(chain, head, first);
}

// The two words are read once.
inline SplitDescriptor SplitRing::ReadDescriptor(uint16_t index) const {
  const std::byte* const at = descriptors_ + kDescriptorSize * index;
  return SplitDescriptor::FromWords(
      internal::LoadWord<uint64_t>(at, std::memory_order_relaxed),
      internal::LoadWord<uint64_t>(at + kDescriptorSecondWord,
                                   std::memory_order_relaxed));
}

LIBVMM_HOT PopResult SplitRing::PopChain(DescriptorChain& chain, uint16_t head,
                                         SplitDescriptor descriptor) {
  ChainBuilder builder(*memory_, window_, chain);
  for (uint32_t count = 1;; ++count) {
    const bool more = (descriptor.flags & kDescriptorNext) != 0;
    if ((descriptor.flags & kDescriptorIndirect) != 0) {
      // The last of its chain (2.7.5.3.1). Its own write flag says nothing.
      if (!config_.indirect || more ||
          !CollectTable(descriptor.address, descriptor.size, builder)) {
        return Break();
      }
    } else if (!builder.Add(
                   {.gpa = Gpa(descriptor.address),
                    .size = descriptor.size,
                    .writable = (descriptor.flags & kDescriptorWrite) != 0}))
        [[unlikely]] {
      return Break();
    }
    if (!more) break;
    // A chain of more descriptors than there are goes round in a loop.
    if (count == config_.size || descriptor.next >= config_.size) [[unlikely]] {
      return Break();
    }
    descriptor = ReadDescriptor(descriptor.next);
  }
  if (!builder.Finish({.id = head, .places = 1})) [[unlikely]]
    return Break();
  ++next_available_;
  return PopResult::kChain;
}

bool SplitRing::CollectTable(uint64_t address, uint32_t size,
                             ChainBuilder& builder) {
  if (size == 0 || size % kDescriptorSize != 0 ||
      !memory_->IsReadable({Gpa(address), size})) {
    return false;
  }
  const uint32_t count = size / kDescriptorSize;
  uint32_t index = 0;
  // The builder ends it: each descriptor takes a segment.
  while (index < count) {
    std::array<uint64_t, 2> words;
    if (!memory_->Read(Gpa(address) + kDescriptorSize * index,
                       std::as_writable_bytes(std::span(words)))) {
      return false;
    }
    const auto descriptor = SplitDescriptor::FromWords(words[0], words[1]);
    if ((descriptor.flags & kDescriptorIndirect) != 0 ||
        !builder.Add(
            {.gpa = Gpa(descriptor.address),
             .size = descriptor.size,
             .writable = (descriptor.flags & kDescriptorWrite) != 0})) {
      return false;
    }
    if ((descriptor.flags & kDescriptorNext) == 0) return true;
    index = descriptor.next;
  }
  return false;
}

void SplitRing::Unpop(ChainToken) { --next_available_; }

// ---- Used chains ------------------------------------------------------------

LIBVMM_HOT void SplitRing::Push(ChainToken token, uint32_t written) {
  if (lost()) [[unlikely]]
    return;
  const uint64_t offset =
      kUsedRing + kUsedEntrySize * (next_used_ & (config_.size - 1));
  internal::StoreWord<uint32_t>(used_ + offset, token.id,
                                std::memory_order_relaxed);
  internal::StoreWord<uint32_t>(used_ + offset + kUsedEntryLength, written,
                                std::memory_order_relaxed);
  MarkUsed(offset, kUsedEntrySize);
  ++next_used_;
  ++undecided_;
}

LIBVMM_HOT bool SplitRing::Publish() {
  if (undecided_ == 0 || lost()) return false;
  // The driver writes what it wishes, then looks for used entries; here it is
  // the other way round. With both sides sequentially consistent one of them
  // sees the other, and no wish is missed.
  StoreUsed(kUsedIndex, next_used_, std::memory_order_seq_cst);
  const uint64_t count = std::exchange(undecided_, 0);
  if (!config_.event_index) {
    return (LoadAvailable(kAvailableFlags, std::memory_order_seq_cst) &
            kAvailableNoInterrupt) == 0;
  }
  // Whether the entry that it waits for is among those of this batch (2.7.7.2).
  const uint16_t event =
      LoadAvailable(UsedEvent(config_.size), std::memory_order_seq_cst);
  return static_cast<uint16_t>(next_used_ - event - 1) < count;
}

// ---- Notifications ----------------------------------------------------------

void SplitRing::DisableNotifications() {
  // With the event index the last one asked for stays behind, and the driver
  // does not come by it again (2.7.10).
  if (config_.event_index || lost()) return;
  StoreUsed(kUsedFlags, kUsedNoNotify, std::memory_order_relaxed);
}

LIBVMM_HOT bool SplitRing::EnableNotifications() {
  if (broken_) return false;
  if (!config_.polled) {
    // As in Publish: first the wish, then the look.
    if (config_.event_index) {
      StoreUsed(AvailableEvent(config_.size), next_available_,
                std::memory_order_seq_cst);
    } else {
      StoreUsed(kUsedFlags, 0, std::memory_order_seq_cst);
    }
  }
  return LoadAvailable(kAvailableIndex, std::memory_order_seq_cst) !=
         next_available_;
}

// ---- State ------------------------------------------------------------------

VirtqueueState SplitRing::Save() {
  if (undecided_ != 0 && !lost()) {
    StoreUsed(kUsedIndex, next_used_, std::memory_order_release);
  }
  // As much as can be said.
  undecided_ =
      std::min<uint64_t>(undecided_, std::numeric_limits<uint16_t>::max());
  return {.next_available = next_available_,
          .next_used = next_used_,
          .signalled_used = static_cast<uint16_t>(next_used_ - undecided_),
          .broken = broken_};
}

absl::Status SplitRing::Restore(const VirtqueueState& state) {
  LIBVMM_RETURN_IF_ERROR(state.Validate(config_));
  next_available_ = seen_available_ = state.next_available;
  next_used_ = state.next_used;
  undecided_ = static_cast<uint16_t>(next_used_ - state.signalled_used);
  broken_ = state.broken || lost();
  return absl::OkStatus();
}

}  // namespace libvmm
