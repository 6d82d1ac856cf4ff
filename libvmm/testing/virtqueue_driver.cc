// SPDX-License-Identifier: Apache-2.0
#include "libvmm/testing/virtqueue_driver.h"

#include "libvmm/base/check.h"

namespace libvmm::testing {

using namespace virtio;  // NOLINT: the layout's names.

namespace {

// The areas lie so far apart that each has a cache line of its own.
constexpr uint64_t kAreaAlignment = 64;

struct Places {
  uint64_t driver = 0;
  uint64_t device = 0;
  uint64_t tables = 0;
  uint64_t end = 0;
};

constexpr uint64_t RoundUp(uint64_t size) {
  return (size + kAreaAlignment - 1) / kAreaAlignment * kAreaAlignment;
}

Places PlacesOf(const VirtqueueDriver::Options& options) {
  Places places;
  places.driver = RoundUp(kDescriptorSize * options.size);
  places.device =
      places.driver +
      RoundUp(options.packed ? kEventSize : AvailableSize(options.size));
  places.tables = places.device +
                  RoundUp(options.packed ? kEventSize : UsedSize(options.size));
  places.end =
      places.tables + (options.indirect
                           ? kDescriptorSize * options.table_size * options.size
                           : 0);
  return places;
}

}  // namespace

VirtqueueDriver::VirtqueueDriver(GuestMemory& memory, Gpa area,
                                 const Options& options)
    : memory_(memory), options_(options), area_{area, AreaSize(options)} {
  const Places places = PlacesOf(options);
  config_ = {.size = options.size,
             .descriptors = area,
             .driver = area + places.driver,
             .device = area + places.device,
             .packed = options.packed,
             .indirect = options.indirect,
             .event_index = options.event_index,
             .in_order = options.in_order,
             .polled = options.polled};
  tables_ = area + places.tables;
  LIBVMM_CHECK(memory.Fill(area_, std::byte{0}));
  chains_.resize(options.size);
  for (uint32_t i = 0; i < options.size; ++i) {
    free_.push_back(static_cast<uint16_t>(i));
  }
  free_places_ = options.size;
}

uint64_t VirtqueueDriver::AreaSize(const Options& options) {
  return PlacesOf(options).end;
}

// ---- The ring itself --------------------------------------------------------

uint16_t VirtqueueDriver::Load(Gpa gpa, std::memory_order order) const {
  const std::optional<uint16_t> value = memory_.Load<uint16_t>(gpa, order);
  LIBVMM_CHECK(value.has_value());
  return *value;
}

void VirtqueueDriver::Store(Gpa gpa, uint16_t value, std::memory_order order) {
  LIBVMM_CHECK(memory_.Store<uint16_t>(gpa, value, order));
}

Gpa VirtqueueDriver::DescriptorAt(uint32_t index) const {
  return config_.descriptors + kDescriptorSize * index;
}

Gpa VirtqueueDriver::TableAt(uint16_t id) const {
  return tables_ + kDescriptorSize * options_.table_size * id;
}

namespace {

void WriteWords(GuestMemory& memory, Gpa at, uint64_t first, uint64_t second) {
  LIBVMM_CHECK(memory.Store<uint64_t>(at, first));
  LIBVMM_CHECK(memory.Store<uint64_t>(at + kDescriptorSecondWord, second));
}

uint64_t ReadWord(const GuestMemory& memory, Gpa at) {
  const std::optional<uint64_t> word = memory.Load<uint64_t>(at);
  LIBVMM_CHECK(word.has_value());
  return *word;
}

}  // namespace

void VirtqueueDriver::WriteDescriptor(Gpa at,
                                      const SplitDescriptor& descriptor) {
  WriteWords(memory_, at, descriptor.address, descriptor.SecondWord());
}

void VirtqueueDriver::WriteDescriptor(Gpa at,
                                      const PackedDescriptor& descriptor) {
  WriteWords(memory_, at, descriptor.address, descriptor.SecondWord());
}

SplitDescriptor VirtqueueDriver::ReadSplit(Gpa at) const {
  return SplitDescriptor::FromWords(
      ReadWord(memory_, at), ReadWord(memory_, at + kDescriptorSecondWord));
}

PackedDescriptor VirtqueueDriver::ReadPacked(Gpa at) const {
  return PackedDescriptor::FromWords(
      ReadWord(memory_, at), ReadWord(memory_, at + kDescriptorSecondWord));
}

uint16_t VirtqueueDriver::LoadDriver(uint64_t offset) const {
  return Load(config_.driver + offset, std::memory_order_relaxed);
}
uint16_t VirtqueueDriver::LoadDevice(uint64_t offset) const {
  return Load(config_.device + offset, std::memory_order_relaxed);
}
void VirtqueueDriver::StoreDriver(uint64_t offset, uint16_t value) {
  Store(config_.driver + offset, value, std::memory_order_relaxed);
}
void VirtqueueDriver::StoreDevice(uint64_t offset, uint16_t value) {
  Store(config_.device + offset, value, std::memory_order_relaxed);
}

// ---- Positions in a packed ring ---------------------------------------------

void VirtqueueDriver::Forward(Position& position, uint32_t places) const {
  const uint32_t place = position.place + places;
  position.place = static_cast<uint16_t>(place % config_.size);
  if (place / config_.size % 2 != 0) position.wrap = !position.wrap;
}

uint32_t VirtqueueDriver::Linear(Position position) const {
  return position.place + (position.wrap ? 0u : config_.size);
}

uint16_t VirtqueueDriver::AvailableFlags() const {
  return place_available_.wrap ? kDescriptorAvailable : kDescriptorUsed;
}

// ---- Adding -----------------------------------------------------------------

std::optional<uint16_t> VirtqueueDriver::Add(std::span<const Buffer> buffers,
                                             Layout layout) {
  LIBVMM_CHECK(!buffers.empty());
  LIBVMM_CHECK(layout == Layout::kDirect || options_.indirect);
  LIBVMM_CHECK(layout != Layout::kMixed || !options_.packed);
  const size_t direct = layout == Layout::kDirect  ? buffers.size()
                        : layout == Layout::kMixed ? 1
                                                   : 0;
  const size_t in_table = buffers.size() - direct;
  if (in_table > options_.table_size) return std::nullopt;
  if (direct + (in_table != 0 ? 1 : 0) > free_places_) return std::nullopt;
  return options_.packed ? AddPacked(buffers, layout)
                         : AddSplit(buffers, layout);
}

void VirtqueueDriver::WriteTable(uint16_t id, std::span<const Buffer> buffers) {
  for (size_t i = 0; i < buffers.size(); ++i) {
    const Buffer& buffer = buffers[i];
    const Gpa at = TableAt(id) + kDescriptorSize * i;
    const auto write =
        static_cast<uint16_t>(buffer.writable ? kDescriptorWrite : 0);
    if (options_.packed) {
      WriteDescriptor(at, PackedDescriptor{.address = buffer.gpa.value(),
                                           .size = buffer.size,
                                           .flags = write});
      continue;
    }
    const bool last = i + 1 == buffers.size();
    WriteDescriptor(
        at, SplitDescriptor{.address = buffer.gpa.value(),
                            .size = buffer.size,
                            .flags = static_cast<uint16_t>(
                                write | (last ? 0 : kDescriptorNext)),
                            .next = static_cast<uint16_t>(last ? 0 : i + 1)});
  }
}

std::optional<uint16_t> VirtqueueDriver::AddSplit(
    std::span<const Buffer> buffers, Layout layout) {
  const size_t direct = layout == Layout::kDirect  ? buffers.size()
                        : layout == Layout::kMixed ? 1
                                                   : 0;
  const std::span<const Buffer> in_table = buffers.subspan(direct);
  const size_t count = direct + (in_table.empty() ? 0 : 1);
  const uint16_t head = free_.front();
  Chain& chain = chains_[head];
  chain.in_use = true;
  chain.descriptors.assign(free_.begin(),
                           free_.begin() + static_cast<ptrdiff_t>(count));
  free_.erase(free_.begin(), free_.begin() + static_cast<ptrdiff_t>(count));
  free_places_ = static_cast<uint16_t>(free_places_ - count);
  ++in_flight_;
  for (size_t i = 0; i < count; ++i) {
    const bool last = i + 1 == count;
    SplitDescriptor descriptor = {
        .flags = static_cast<uint16_t>(last ? 0 : kDescriptorNext),
        .next = last ? uint16_t{0} : chain.descriptors[i + 1]};
    if (i < direct) {
      descriptor.address = buffers[i].gpa.value();
      descriptor.size = buffers[i].size;
      if (buffers[i].writable) descriptor.flags |= kDescriptorWrite;
    } else {
      descriptor.address = TableAt(head).value();
      descriptor.size =
          static_cast<uint32_t>(kDescriptorSize * in_table.size());
      descriptor.flags = kDescriptorIndirect;
      WriteTable(head, in_table);
    }
    WriteDescriptor(DescriptorAt(chain.descriptors[i]), descriptor);
  }
  AddHead(head);
  return head;
}

void VirtqueueDriver::AddHead(uint16_t head) {
  StoreDriver(
      kAvailableRing + kAvailableEntrySize * (next_available_ % config_.size),
      head);
  ++next_available_;
}

std::optional<uint16_t> VirtqueueDriver::AddPacked(
    std::span<const Buffer> buffers, Layout layout) {
  const uint16_t id = free_.front();
  free_.pop_front();
  const size_t count = layout == Layout::kDirect ? buffers.size() : 1;
  Chain& chain = chains_[id];
  chain.in_use = true;
  chain.places = static_cast<uint16_t>(count);
  free_places_ = static_cast<uint16_t>(free_places_ - count);
  ++in_flight_;
  for (size_t i = 0; i < count; ++i) {
    PackedDescriptor descriptor = {.id = id, .flags = AvailableFlags()};
    if (layout == Layout::kDirect) {
      descriptor.address = buffers[i].gpa.value();
      descriptor.size = buffers[i].size;
      if (buffers[i].writable) descriptor.flags |= kDescriptorWrite;
      if (i + 1 != count) descriptor.flags |= kDescriptorNext;
    } else {
      descriptor.address = TableAt(id).value();
      descriptor.size = static_cast<uint32_t>(kDescriptorSize * buffers.size());
      descriptor.flags |= kDescriptorIndirect;
      WriteTable(id, buffers);
    }
    const Gpa at = DescriptorAt(place_available_.place);
    if (batch_) {
      WriteDescriptor(at, descriptor);
    } else {
      // The device looks at the first descriptor's flags alone, so they stay
      // as they are until Publish.
      batch_ = true;
      first_word_ = descriptor.SecondWord();
      LIBVMM_CHECK(memory_.Store<uint64_t>(at, descriptor.address));
    }
    Forward(place_available_, 1);
  }
  return id;
}

// ---- Publishing -------------------------------------------------------------

bool VirtqueueDriver::Publish() {
  return options_.packed ? PublishPacked() : PublishSplit();
}

bool VirtqueueDriver::PublishSplit() {
  if (next_available_ == published_) return false;
  const uint16_t before = published_;
  published_ = next_available_;
  Store(config_.driver + kAvailableIndex, published_,
        std::memory_order_seq_cst);
  if (!options_.event_index) {
    return (Load(config_.device + kUsedFlags, std::memory_order_seq_cst) &
            kUsedNoNotify) == 0;
  }
  const uint16_t event = Load(config_.device + AvailableEvent(config_.size),
                              std::memory_order_seq_cst);
  return static_cast<uint16_t>(published_ - event - 1) <
         static_cast<uint16_t>(published_ - before);
}

bool VirtqueueDriver::PublishPacked() {
  if (!batch_) return false;
  batch_ = false;
  const Position before = place_published_;
  place_published_ = place_available_;
  LIBVMM_CHECK(memory_.Store<uint64_t>(
      DescriptorAt(before.place) + kDescriptorSecondWord, first_word_,
      std::memory_order_seq_cst));
  const std::optional<uint32_t> wish =
      memory_.Load<uint32_t>(config_.device, std::memory_order_seq_cst);
  LIBVMM_CHECK(wish.has_value());
  const uint32_t flags = *wish >> 16 & kEventFlagsMask;
  if (flags == kEventDisable) return false;
  if (flags != kEventAtPosition || !options_.event_index) return true;
  const Position event = {
      .place = static_cast<uint16_t>(*wish & (kWrapCounter - 1)),
      .wrap = (*wish & kWrapCounter) != 0};
  if (event.place >= config_.size) return true;
  const uint32_t rounds = 2u * config_.size;
  return (Linear(event) + rounds - Linear(before)) % rounds <
         (Linear(place_published_) + rounds - Linear(before)) % rounds;
}

// ---- Collecting -------------------------------------------------------------

std::optional<VirtqueueDriver::Used> VirtqueueDriver::Collect() {
  return options_.packed ? CollectPacked() : CollectSplit();
}

std::optional<VirtqueueDriver::Used> VirtqueueDriver::CollectSplit() {
  if (Load(config_.device + kUsedIndex, std::memory_order_acquire) ==
      next_used_) {
    return std::nullopt;
  }
  const Gpa entry =
      config_.device + kUsedRing + kUsedEntrySize * (next_used_ % config_.size);
  const std::optional<uint32_t> id = memory_.Load<uint32_t>(entry);
  const std::optional<uint32_t> written =
      memory_.Load<uint32_t>(entry + kUsedEntryLength);
  LIBVMM_CHECK(id.has_value() && written.has_value());
  ++next_used_;
  if (*id < chains_.size() && chains_[*id].in_use) {
    Chain& chain = chains_[*id];
    chain.in_use = false;
    free_.insert(free_.end(), chain.descriptors.begin(),
                 chain.descriptors.end());
    free_places_ = static_cast<uint16_t>(free_.size());
    --in_flight_;
  }
  return Used{.id = static_cast<uint16_t>(*id), .written = *written};
}

bool VirtqueueDriver::UsedAt(Position position) const {
  const std::optional<uint64_t> word = memory_.Load<uint64_t>(
      DescriptorAt(position.place) + kDescriptorSecondWord,
      std::memory_order_seq_cst);
  LIBVMM_CHECK(word.has_value());
  const uint16_t flags = PackedDescriptor::FromWords(0, *word).flags;
  return ((flags & kDescriptorAvailable) != 0) == position.wrap &&
         ((flags & kDescriptorUsed) != 0) == position.wrap;
}

std::optional<VirtqueueDriver::Used> VirtqueueDriver::CollectPacked() {
  if (!UsedAt(place_used_)) return std::nullopt;
  const PackedDescriptor used = ReadPacked(DescriptorAt(place_used_.place));
  uint32_t places = 1;
  if (used.id < chains_.size() && chains_[used.id].in_use) {
    Chain& chain = chains_[used.id];
    chain.in_use = false;
    places = chain.places;
    free_.push_back(used.id);
    free_places_ = static_cast<uint16_t>(free_places_ + places);
    --in_flight_;
  }
  Forward(place_used_, places);
  return Used{.id = used.id,
              .written = (used.flags & kDescriptorWrite) != 0 ? used.size : 0};
}

// ---- Interrupts -------------------------------------------------------------

void VirtqueueDriver::DisableInterrupts() {
  if (options_.packed) {
    StoreDriver(kEventFlags, kEventDisable);
  } else if (options_.event_index) {
    StoreDriver(UsedEvent(config_.size), static_cast<uint16_t>(next_used_ - 1));
  } else {
    StoreDriver(kAvailableFlags, kAvailableNoInterrupt);
  }
}

bool VirtqueueDriver::EnableInterrupts(uint16_t skip) {
  if (!options_.packed) {
    if (options_.event_index) {
      Store(config_.driver + UsedEvent(config_.size),
            static_cast<uint16_t>(next_used_ + skip),
            std::memory_order_seq_cst);
    } else {
      Store(config_.driver + kAvailableFlags, 0, std::memory_order_seq_cst);
    }
    return Load(config_.device + kUsedIndex, std::memory_order_seq_cst) !=
           next_used_;
  }
  uint32_t wish = uint32_t{kEventEnable} << 16;
  if (options_.event_index) {
    Position position = place_used_;
    Forward(position, skip);
    wish = position.place | (position.wrap ? kWrapCounter : 0u) |
           uint32_t{kEventAtPosition} << 16;
  }
  LIBVMM_CHECK(
      memory_.Store<uint32_t>(config_.driver, wish, std::memory_order_seq_cst));
  return UsedAt(place_used_);
}

}  // namespace libvmm::testing
