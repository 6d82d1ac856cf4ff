// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/virtio/ring/packed_ring.h"

#include <algorithm>
#include <array>
#include <span>
#include <utility>

#include "libvmm/base/hot.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/devices/virtio/ring/ring_layout.h"
#include "libvmm/memory/guest_word.h"

namespace libvmm {

using namespace virtio;  // NOLINT: the layout's names.

PackedRing::PackedRing(GuestMemory& memory, const VirtqueueConfig& config)
    : memory_(&memory), config_(config) {}

std::optional<PackedRing> PackedRing::Create(GuestMemory& memory,
                                             const VirtqueueConfig& config) {
  if (config.size == 0 || config.size > kMaxQueueSize ||
      !config.descriptors.IsAligned(kDescriptorAlignment) ||
      !config.driver.IsAligned(kEventAlignment) ||
      !config.device.IsAligned(kEventAlignment)) {
    return std::nullopt;
  }
  PackedRing ring(memory, config);
  if (!ring.Map()) return std::nullopt;
  return ring;
}

bool PackedRing::Map() {
  // Before the lookups: when the map changes between them the next Refresh
  // comes here again.
  generation_ = memory_->generation();
  window_ = {};
  const GpaRange descriptors = {config_.descriptors,
                                kDescriptorSize * config_.size};
  const std::span<std::byte> descriptor_span =
      memory_->WritableSpan(descriptors);
  const std::span<const std::byte> driver_span =
      memory_->ReadableSpan({config_.driver, kEventSize});
  const std::span<std::byte> device_span =
      memory_->WritableSpan({config_.device, kEventSize});
  if (descriptor_span.size() != descriptors.size ||
      driver_span.size() != kEventSize || device_span.size() != kEventSize) {
    descriptors_ = device_ = nullptr;
    driver_ = nullptr;
    return false;
  }
  descriptors_ = descriptor_span.data();
  driver_ = driver_span.data();
  device_ = device_span.data();
  tracked_ = memory_->IsTrackingDirty(config_.descriptors) ||
             memory_->IsTrackingDirty(config_.device);
  return true;
}

bool PackedRing::Refresh() {
  if (lost()) return false;
  if (memory_->generation() == generation_) [[likely]]
    return true;
  if (Map()) return true;
  broken_ = true;
  return false;
}

inline void PackedRing::Mark(Gpa gpa, uint64_t size) {
  if (tracked_) [[unlikely]]
    memory_->MarkDirty({gpa, size});
}

// ---- Positions --------------------------------------------------------------

inline PackedRing::Position PackedRing::Position::FromBits(uint16_t bits) {
  return {.place = static_cast<uint16_t>(bits & (kWrapCounter - 1)),
          .wrap = (bits & kWrapCounter) != 0};
}

inline uint16_t PackedRing::Position::Bits() const {
  return static_cast<uint16_t>(place | (wrap ? kWrapCounter : 0));
}

inline PackedRing::Position PackedRing::Forward(Position position,
                                                uint16_t places) const {
  const uint32_t place = uint32_t{position.place} + places;
  if (place < config_.size) {
    return {.place = static_cast<uint16_t>(place), .wrap = position.wrap};
  }
  return {.place = static_cast<uint16_t>(place - config_.size),
          .wrap = !position.wrap};
}

inline uint32_t PackedRing::Linear(Position position) const {
  return position.wrap ? position.place
                       : uint32_t{position.place} + config_.size;
}

inline uint32_t PackedRing::Distance(Position from, Position to) const {
  const uint32_t start = Linear(from);
  const uint32_t end = Linear(to);
  return end > start ? end - start : end + 2 * uint32_t{config_.size} - start;
}

// ---- Available chains -------------------------------------------------------

inline bool PackedRing::IsAvailable(uint16_t flags) const {
  // The available flag is the wrap counter, the used flag is not (2.8.1).
  constexpr uint16_t kBoth = kDescriptorAvailable | kDescriptorUsed;
  return (flags & kBoth) ==
         (next_available_.wrap ? kDescriptorAvailable : kDescriptorUsed);
}

// The two words are read once.
inline PackedDescriptor PackedRing::ReadDescriptor(uint16_t place) const {
  const std::byte* const at = descriptors_ + kDescriptorSize * place;
  const auto second = internal::LoadWord<uint64_t>(at + kDescriptorSecondWord,
                                                   std::memory_order_acquire);
  return PackedDescriptor::FromWords(
      internal::LoadWord<uint64_t>(at, std::memory_order_relaxed), second);
}

LIBVMM_HOT PopResult PackedRing::Pop(DescriptorChain& chain) {
  if (broken_) [[unlikely]]
    return PopResult::kMalformed;
  // Acquires what the driver wrote before it made the chain available: all of
  // it, since the first descriptor's flags are written last.
  const PackedDescriptor first = ReadDescriptor(next_available_.place);
  if (!IsAvailable(first.flags)) return PopResult::kEmpty;
  if ((first.flags & (kDescriptorNext | kDescriptorIndirect)) == 0 &&
      ChainBuilder::BuildSingle(
          window_, chain,
          {.gpa = Gpa(first.address),
           .size = first.size,
           .writable = (first.flags & kDescriptorWrite) != 0},
          {.id = first.id, .places = 1})) [[likely]] {
    return Take(1);
  }
  return PopChain(chain, first);
}

inline PopResult PackedRing::Take(uint16_t places) {
  // More places than there are cannot be in the device's hands.
  if (held_places_ + places > config_.size) [[unlikely]]
    return Break();
  held_places_ += places;
  next_available_ = Forward(next_available_, places);
  return PopResult::kChain;
}

LIBVMM_HOT PopResult PackedRing::PopChain(DescriptorChain& chain,
                                          PackedDescriptor descriptor) {
  ChainBuilder builder(*memory_, window_, chain);
  uint16_t place = next_available_.place;
  uint16_t places = 1;
  while (true) {
    const bool more = (descriptor.flags & kDescriptorNext) != 0;
    if ((descriptor.flags & kDescriptorIndirect) != 0) {
      // A chain by itself (2.8.19). Its own write flag says nothing.
      if (!config_.indirect || more || places != 1 ||
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
    // A chain of more descriptors than there are places goes round.
    if (places == config_.size) [[unlikely]]
      return Break();
    ++places;
    ++place;
    if (place == config_.size) place = 0;
    descriptor = ReadDescriptor(place);
  }
  if (!builder.Finish({.id = descriptor.id, .places = places})) [[unlikely]] {
    return Break();
  }
  return Take(places);
}

bool PackedRing::CollectTable(uint64_t address, uint32_t size,
                              ChainBuilder& builder) {
  if (size == 0 || size % kDescriptorSize != 0 ||
      !memory_->IsReadable({Gpa(address), size})) {
    return false;
  }
  const uint32_t count = size / kDescriptorSize;
  // The builder ends it: each descriptor takes a segment.
  for (uint32_t i = 0; i < count; ++i) {
    std::array<uint64_t, 2> words;
    if (!memory_->Read(Gpa(address) + kDescriptorSize * i,
                       std::as_writable_bytes(std::span(words)))) {
      return false;
    }
    const auto descriptor = PackedDescriptor::FromWords(words[0], words[1]);
    // Of the flags only the write flag says something (2.8.7); one that must
    // not be there is a table in a table.
    if ((descriptor.flags & kDescriptorIndirect) != 0 ||
        !builder.Add(
            {.gpa = Gpa(descriptor.address),
             .size = descriptor.size,
             .writable = (descriptor.flags & kDescriptorWrite) != 0})) {
      return false;
    }
  }
  return true;
}

void PackedRing::Unpop(ChainToken token) {
  // So many places back are one round, less so many, forward: with the wrap
  // counter of the other round.
  const uint16_t places = std::min(token.places, config_.size);
  next_available_ =
      Forward(next_available_, static_cast<uint16_t>(config_.size - places));
  next_available_.wrap = !next_available_.wrap;
  held_places_ -= places;
}

// ---- Used chains ------------------------------------------------------------

LIBVMM_HOT void PackedRing::Push(ChainToken token, uint32_t written) {
  if (lost()) [[unlikely]]
    return;
  // Both flags are the wrap counter (2.8.1); the length counts where the write
  // flag is set (2.8.3).
  constexpr uint16_t kBoth = kDescriptorAvailable | kDescriptorUsed;
  const PackedDescriptor used = {
      .size = written,
      .id = token.id,
      .flags = static_cast<uint16_t>((next_used_.wrap ? kBoth : 0) |
                                     (written != 0 ? kDescriptorWrite : 0))};
  const uint16_t place = next_used_.place;
  if (batch_) {
    const uint64_t offset = kDescriptorSize * place + kDescriptorSecondWord;
    internal::StoreWord<uint64_t>(descriptors_ + offset, used.SecondWord(),
                                  std::memory_order_relaxed);
    Mark(config_.descriptors + offset, sizeof(uint64_t));
  } else {
    batch_ = true;
    first_place_ = place;
    first_word_ = used.SecondWord();
  }
  const uint16_t places = std::min(token.places, config_.size);
  next_used_ = Forward(next_used_, places);
  held_places_ -= places;
  undecided_ += places;
}

inline void PackedRing::WriteFirst(std::memory_order order) {
  const uint64_t offset =
      kDescriptorSize * first_place_ + kDescriptorSecondWord;
  internal::StoreWord<uint64_t>(descriptors_ + offset, first_word_, order);
  Mark(config_.descriptors + offset, sizeof(uint64_t));
  batch_ = false;
}

LIBVMM_HOT bool PackedRing::Publish() {
  if (undecided_ == 0 || lost()) return false;
  // The driver writes what it wishes, then looks for used descriptors; here it
  // is the other way round. With both sides sequentially consistent one of them
  // sees the other, and no wish is missed. Nothing is kept back if Save
  // published it.
  if (batch_) WriteFirst(std::memory_order_seq_cst);
  const uint32_t word =
      internal::LoadWord<uint32_t>(driver_, std::memory_order_seq_cst);
  const uint64_t count = std::exchange(undecided_, 0);
  const auto flags = static_cast<uint16_t>(word >> 16 & kEventFlagsMask);
  if (flags == kEventDisable) return false;
  if (flags != kEventAtPosition || !config_.event_index) return true;
  // Whether the place that it waits for is among those of this batch (2.8.10).
  const Position event = Position::FromBits(static_cast<uint16_t>(word));
  // No place of the ring: it wants something, so rather once too often.
  if (event.place >= config_.size) return true;
  return Distance(event, next_used_) <= count;
}

// ---- Notifications ----------------------------------------------------------

void PackedRing::DisableNotifications() {
  if (lost()) return;
  internal::StoreWord<uint16_t>(device_ + kEventFlags, kEventDisable,
                                std::memory_order_relaxed);
  Mark(config_.device, kEventSize);
}

LIBVMM_HOT bool PackedRing::EnableNotifications() {
  if (broken_) return false;
  if (!config_.polled) {
    // As in Publish: first the wish, then the look.
    const uint32_t wish =
        config_.event_index
            ? next_available_.Bits() | uint32_t{kEventAtPosition} << 16
            : uint32_t{kEventEnable} << 16;
    internal::StoreWord<uint32_t>(device_, wish, std::memory_order_seq_cst);
    Mark(config_.device, kEventSize);
  }
  const auto second = internal::LoadWord<uint64_t>(
      descriptors_ + kDescriptorSize * next_available_.place +
          kDescriptorSecondWord,
      std::memory_order_seq_cst);
  return IsAvailable(PackedDescriptor::FromWords(0, second).flags);
}

// ---- State ------------------------------------------------------------------

VirtqueueState PackedRing::Save() {
  if (batch_ && !lost()) WriteFirst(std::memory_order_release);
  // As much as can be said: less than two rounds.
  const uint32_t rounds = 2 * uint32_t{config_.size};
  undecided_ = std::min<uint64_t>(undecided_, rounds - 1);
  const auto linear = static_cast<uint32_t>(
      (Linear(next_used_) + rounds - undecided_) % rounds);
  const Position signalled = {
      .place = static_cast<uint16_t>(linear % config_.size),
      .wrap = linear < config_.size};
  return {.next_available = next_available_.Bits(),
          .next_used = next_used_.Bits(),
          .signalled_used = signalled.Bits(),
          .broken = broken_};
}

absl::Status PackedRing::Restore(const VirtqueueState& state) {
  LIBVMM_RETURN_IF_ERROR(state.Validate(config_));
  next_available_ = Position::FromBits(state.next_available);
  next_used_ = Position::FromBits(state.next_used);
  held_places_ =
      next_available_ == next_used_ ? 0 : Distance(next_used_, next_available_);
  const Position signalled = Position::FromBits(state.signalled_used);
  undecided_ = signalled == next_used_ ? 0 : Distance(signalled, next_used_);
  batch_ = false;
  broken_ = state.broken || lost();
  return absl::OkStatus();
}

}  // namespace libvmm
