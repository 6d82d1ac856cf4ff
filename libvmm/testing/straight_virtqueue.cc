// SPDX-License-Identifier: Apache-2.0
#include "libvmm/testing/straight_virtqueue.h"

#include <array>
#include <span>

namespace libvmm::testing {

using namespace virtio;  // NOLINT: the layout's names.

std::optional<StraightVirtqueue::Descriptor> StraightVirtqueue::Read(
    Gpa at) const {
  std::array<uint64_t, 2> words;
  if (!memory_.Read(at, std::as_writable_bytes(std::span(words)))) return {};
  if (config_.packed) {
    const auto packed = PackedDescriptor::FromWords(words[0], words[1]);
    return Descriptor{.address = packed.address,
                      .size = packed.size,
                      .flags = packed.flags,
                      .last = packed.id};
  }
  const auto split = SplitDescriptor::FromWords(words[0], words[1]);
  return Descriptor{.address = split.address,
                    .size = split.size,
                    .flags = split.flags,
                    .last = split.next};
}

// ---- Chains -----------------------------------------------------------------

bool StraightVirtqueue::AddBuffer(const Descriptor& descriptor) {
  if (descriptor.size == 0) return false;
  const bool writable = (descriptor.flags & kDescriptorWrite) != 0;
  const std::optional<GpaRange> range =
      GpaRange::Create(Gpa(descriptor.address), descriptor.size);
  if (!range.has_value()) return false;
  uint64_t done = 0;
  while (done < range->size) {
    const GpaRange rest = {range->start + done, range->size - done};
    Segment segment = {.gpa = rest.start, .writable = writable};
    if (writable) {
      const std::span<std::byte> span = memory_.WritableSpan(rest);
      segment.data = span.data();
      segment.size = span.size();
    } else {
      const std::span<const std::byte> span = memory_.ReadableSpan(rest);
      segment.data = const_cast<std::byte*>(span.data());
      segment.size = span.size();
    }
    if (segment.size == 0) return false;
    if (chain_.size() == DescriptorChain::kMaxSegments) return false;
    chain_.push_back(segment);
    done += segment.size;
  }
  return true;
}

bool StraightVirtqueue::AddTable(const Descriptor& descriptor) {
  const Gpa table(descriptor.address);
  if (!config_.indirect || descriptor.size == 0 ||
      descriptor.size % kDescriptorSize != 0 ||
      !memory_.IsReadable({table, descriptor.size})) {
    return false;
  }
  const uint64_t count = descriptor.size / kDescriptorSize;
  uint64_t index = 0;
  while (true) {
    const std::optional<Descriptor> entry =
        Read(table + kDescriptorSize * index);
    if (!entry.has_value() || (entry->flags & kDescriptorIndirect) != 0 ||
        !AddBuffer(*entry)) {
      return false;
    }
    if (config_.packed) {
      ++index;
      if (index == count) return true;
    } else {
      if ((entry->flags & kDescriptorNext) == 0) return true;
      index = entry->last;
      if (index >= count) return false;
    }
  }
}

bool StraightVirtqueue::WellFormed() const {
  uint64_t size = 0;
  bool writable = false;
  for (const Segment& segment : chain_) {
    if (writable && !segment.writable) return false;
    writable = segment.writable;
    size += segment.size;
  }
  return size <= kMaxChainSize;
}

PopResult StraightVirtqueue::Pop() {
  if (broken_) return PopResult::kMalformed;
  if ((config_.packed || available_ == seen_) && !AvailableAt(available_)) {
    return PopResult::kEmpty;
  }
  chain_.clear();
  if (config_.packed ? PopPacked() : PopSplit()) return PopResult::kChain;
  broken_ = true;
  return PopResult::kMalformed;
}

bool StraightVirtqueue::AvailableAt(uint64_t position) const {
  if (!config_.packed) {
    return Load(config_.driver + kAvailableIndex, std::memory_order_seq_cst) !=
           static_cast<uint16_t>(position);
  }
  const uint16_t flags = Load(
      config_.descriptors + kDescriptorSize * (position % config_.size) + 14,
      std::memory_order_seq_cst);
  return ((flags & kDescriptorAvailable) != 0) == PackedWrap(position) &&
         ((flags & kDescriptorUsed) != 0) != PackedWrap(position);
}

bool StraightVirtqueue::PopSplit() {
  if (available_ == seen_) {
    const uint16_t index =
        Load(config_.driver + kAvailableIndex, std::memory_order_acquire);
    const auto ahead = static_cast<uint16_t>(index - available_);
    if (ahead > config_.size) return false;
    seen_ += ahead;
  }
  if (available_ - used_ >= config_.size) return false;
  const uint16_t head =
      Load(config_.driver + kAvailableRing +
               kAvailableEntrySize * (available_ % config_.size),
           std::memory_order_relaxed);
  uint16_t next = head;
  for (uint32_t count = 0; count < config_.size; ++count) {
    if (next >= config_.size) return false;
    const std::optional<Descriptor> descriptor =
        Read(config_.descriptors + kDescriptorSize * next);
    if (!descriptor.has_value()) return false;
    const bool more = (descriptor->flags & kDescriptorNext) != 0;
    if ((descriptor->flags & kDescriptorIndirect) != 0) {
      if (more || !AddTable(*descriptor)) return false;
    } else if (!AddBuffer(*descriptor)) {
      return false;
    }
    if (!more) {
      token_ = {.id = head};
      ++available_;
      return WellFormed();
    }
    next = descriptor->last;
  }
  return false;
}

bool StraightVirtqueue::PopPacked() {
  uint16_t places = 0;
  while (places < config_.size) {
    const std::optional<Descriptor> descriptor =
        Read(config_.descriptors +
             kDescriptorSize * ((available_ + places) % config_.size));
    if (!descriptor.has_value()) return false;
    ++places;
    const bool more = (descriptor->flags & kDescriptorNext) != 0;
    if ((descriptor->flags & kDescriptorIndirect) != 0) {
      if (more || places != 1 || !AddTable(*descriptor)) return false;
    } else if (!AddBuffer(*descriptor)) {
      return false;
    }
    if (!more) {
      token_ = {.id = descriptor->last, .places = places};
      available_ += places;
      return available_ - used_ <= config_.size && WellFormed();
    }
  }
  return false;
}

void StraightVirtqueue::Unpop() { available_ -= token_.places; }

// ---- Used -------------------------------------------------------------------

void StraightVirtqueue::Push(ChainToken token, uint32_t written) {
  const uint64_t place = used_ % config_.size;
  if (!config_.packed) {
    const Gpa entry = config_.device + kUsedRing + kUsedEntrySize * place;
    (void)memory_.Store<uint32_t>(entry, token.id);
    (void)memory_.Store<uint32_t>(entry + kUsedEntryLength, written);
    ++used_;
    return;
  }
  PackedDescriptor used = {.size = written, .id = token.id};
  if (PackedWrap(used_)) used.flags = kDescriptorAvailable | kDescriptorUsed;
  if (written != 0) used.flags |= kDescriptorWrite;
  if (used_ == published_) {
    first_word_ = used.SecondWord();
  } else {
    (void)memory_.Store<uint64_t>(
        config_.descriptors + kDescriptorSize * place + kDescriptorSecondWord,
        used.SecondWord());
  }
  used_ += token.places;
}

bool StraightVirtqueue::Publish() {
  if (used_ == published_) return false;
  const uint64_t before = published_;
  published_ = used_;
  if (!config_.packed) {
    (void)memory_.Store<uint16_t>(config_.device + kUsedIndex,
                                  static_cast<uint16_t>(used_),
                                  std::memory_order_seq_cst);
    if (!config_.event_index) {
      return (Load(config_.driver + kAvailableFlags,
                   std::memory_order_seq_cst) &
              kAvailableNoInterrupt) == 0;
    }
    const uint16_t event = Load(config_.driver + UsedEvent(config_.size),
                                std::memory_order_seq_cst);
    return static_cast<uint16_t>(used_ - event - 1) <
           static_cast<uint16_t>(used_ - before);
  }
  (void)memory_.Store<uint64_t>(config_.descriptors +
                                    kDescriptorSize * (before % config_.size) +
                                    kDescriptorSecondWord,
                                first_word_, std::memory_order_seq_cst);
  const uint32_t wish =
      memory_.Load<uint32_t>(config_.driver, std::memory_order_seq_cst)
          .value_or(0);
  const uint32_t flags = wish >> 16 & kEventFlagsMask;
  if (flags == kEventDisable) return false;
  if (flags != kEventAtPosition || !config_.event_index) return true;
  const uint64_t place = wish & (kWrapCounter - 1);
  if (place >= config_.size) return true;
  const uint64_t rounds = 2 * uint64_t{config_.size};
  const uint64_t event =
      place + ((wish & kWrapCounter) != 0 ? 0 : config_.size);
  return (event + rounds - before % rounds) % rounds < used_ - before;
}

void StraightVirtqueue::DisableNotifications() {
  if (config_.packed) {
    (void)memory_.Store<uint16_t>(config_.device + kEventFlags, kEventDisable);
  } else if (!config_.event_index) {
    (void)memory_.Store<uint16_t>(config_.device + kUsedFlags, kUsedNoNotify);
  }
}

bool StraightVirtqueue::EnableNotifications() {
  if (broken_) return false;
  if (config_.packed) {
    const uint32_t position = static_cast<uint32_t>(available_ % config_.size) |
                              (PackedWrap(available_) ? kWrapCounter : 0);
    (void)memory_.Store<uint32_t>(
        config_.device,
        config_.event_index ? position | uint32_t{kEventAtPosition} << 16
                            : uint32_t{kEventEnable} << 16,
        std::memory_order_seq_cst);
  } else if (config_.event_index) {
    (void)memory_.Store<uint16_t>(config_.device + AvailableEvent(config_.size),
                                  static_cast<uint16_t>(available_),
                                  std::memory_order_seq_cst);
  } else {
    (void)memory_.Store<uint16_t>(config_.device + kUsedFlags, 0,
                                  std::memory_order_seq_cst);
  }
  return AvailableAt(available_);
}

}  // namespace libvmm::testing
