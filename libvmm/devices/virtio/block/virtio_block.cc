// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/virtio/block/virtio_block.h"

#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <type_traits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "libvmm/base/address.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/devices/virtio/device/queue_service.h"
#include "libvmm/devices/virtio/ring/chain_reader.h"
#include "libvmm/devices/virtio/ring/chain_writer.h"
#include "libvmm/devices/virtio/ring/descriptor_chain.h"
#include "libvmm/devices/virtio/ring/virtqueue.h"
#include "libvmm/memory/guest_memory.h"

namespace libvmm {
namespace {

namespace block = virtio::block;

constexpr uint16_t kMinQueueSize = 4;
constexpr uint16_t kMaxQueueSize = 1024;

// Descriptors that a request has beside its data: the header and the status.
constexpr uint32_t kFramingSegments = 2;
// Of a chain's segments so many are kept for buffers that cross from one memory
// region into the next.
constexpr uint32_t kSpareSegments = 14;
constexpr uint32_t kMaxDataSegments =
    DescriptorChain::kMaxSegments - kFramingSegments - kSpareSegments;

// A request is one operation of the back-end: one range for each discard. How
// large bounds how long a back-end is busy with it that writes zeroes as data.
constexpr uint32_t kMaxRanges = 1;
constexpr uint32_t kMaxDiscardSectors = (1 << 30) / block::kSectorSize;
constexpr uint32_t kMaxWriteZeroesSectors = (16 << 20) / block::kSectorSize;

uint8_t StatusOf(BlockAnswer answer) {
  switch (answer) {
    case BlockAnswer::kOk:
      return block::kOk;
    case BlockAnswer::kUnsupported:
      return block::kUnsupported;
    default:
      return block::kIoError;
  }
}

uint64_t Features(const BlockTraits& disk, const VirtioBlock::Options& options,
                  bool read_only) {
  uint64_t features = block::kSegmentMax | block::kBlockSize | block::kTopology;
  if (read_only) features |= block::kReadOnly;
  if (disk.volatile_cache) features |= block::kFlush | block::kConfigWriteback;
  if (options.queues > 1) features |= block::kMultiQueue;
  if (disk.discard && !read_only) features |= block::kDiscard;
  if (disk.write_zeroes && !read_only) features |= block::kWriteZeroes;
  return features;
}

VirtioDevice::Traits MakeTraits(const BlockTraits& disk,
                                const VirtioBlock::Options& options,
                                bool read_only) {
  VirtioDevice::Traits traits{.id = VirtioDeviceId::kBlock,
                              .features = Features(disk, options, read_only),
                              .lanes = options.queues,
                              .config_size = block::kConfigSize};
  for (uint16_t i = 0; i < options.queues; ++i) {
    traits.queues.push_back({.max_size = options.queue_size, .lane = i});
  }
  return traits;
}

block::Config MakeConfig(const BlockTraits& disk,
                         const VirtioBlock::Options& options) {
  const uint32_t block_sectors = disk.block_size / block::kSectorSize;
  return {
      // A driver without indirect descriptors has only the ring's.
      .segment_max = std::min<uint32_t>(kMaxDataSegments,
                                        options.queue_size - kFramingSegments),
      .block_size = disk.block_size,
      .physical_block_exponent = static_cast<uint8_t>(
          std::countr_zero(disk.physical_block_size / disk.block_size)),
      .min_io_size =
          static_cast<uint16_t>(disk.physical_block_size / disk.block_size),
      .optimal_io_size = disk.optimal_size / disk.block_size,
      .queues = options.queues,
      .max_discard_sectors = kMaxDiscardSectors,
      .max_discard_segments = kMaxRanges,
      .discard_sector_alignment = block_sectors,
      .max_write_zeroes_sectors = kMaxWriteZeroesSectors,
      .max_write_zeroes_segments = kMaxRanges,
      .write_zeroes_may_unmap = 1,
  };
}

// Where a buffer of a request is in the guest: a plain type, so that room for
// many need not be touched.
struct Place {
  uint64_t gpa;
  uint64_t size;
};
static_assert(std::is_trivial_v<Place>);

}  // namespace

// A request between its chain's Pop and Push.
struct VirtioBlock::Slot : BlockRequest {
  // Of the free list, or of that of completed requests.
  Slot* next = nullptr;
  Lane* lane = nullptr;
  BlockAnswer answer = BlockAnswer::kOk;

  ChainToken token;
  Gpa status;
  // Device-writable bytes before the status, and how many of them are written.
  uint64_t writable = 0;
  uint64_t filled = 0;
  // Which of the lane's pins it counts for.
  size_t epoch = 0;

  // Room for the buffers of any chain, and where they are.
  iovec* room = nullptr;
  Place* places = nullptr;
};

// A queue, while the device is active. Its functions run in Serve of its lane,
// but for Complete.
class VirtioBlock::Lane {
 public:
  Lane(VirtioBlock& device, VirtioLink& link, uint16_t index, uint16_t size);

  void Serve();

  // On any thread: gives a finished request back to the lane. True when the
  // lane is to be woken for it.
  [[nodiscard]] bool Complete(Slot& slot, BlockAnswer answer);

  [[nodiscard]] uint16_t index() const { return index_; }

 private:
  // A time during which requests were submitted under one Pin.
  struct Epoch {
    GuestMemory::Pin pin;
    uint64_t generation = 0;
    uint32_t requests = 0;
  };

  void TakeCompleted(Virtqueue& queue);
  ChainResult Handle(Virtqueue& queue);
  // What the chain asks for: fills `slot` for the back-end and returns nothing;
  // or returns the answer.
  std::optional<BlockAnswer> Parse(Slot& slot);
  std::optional<BlockAnswer> ParseTransfer(Slot& slot, bool is_read,
                                           uint64_t sector);
  std::optional<BlockAnswer> ParseRange(Slot& slot, ChainReader& reader,
                                        bool is_discard);
  BlockAnswer GetId(Slot& slot);
  // The buffers are `segments` without their first `skip` bytes and what is
  // behind the `slot.size` bytes after those.
  void SetBuffers(Slot& slot, std::span<const ChainSegment> segments,
                  uint64_t skip);
  [[nodiscard]] bool InDisk(uint64_t sector, uint64_t size) const;
  void Pin(Slot& slot);
  // Tells the driver what came of a request, and frees its slot.
  void Finish(Virtqueue& queue, Slot& slot, BlockAnswer answer);

  VirtioBlock& device_;
  VirtioLink& link_;
  GuestMemory& memory_;
  const uint16_t index_;
  const uint64_t features_;

  std::unique_ptr<Slot[]> slots_;
  std::unique_ptr<iovec[]> iovecs_;
  std::unique_ptr<Place[]> places_;
  Slot* free_ = nullptr;

  // Of the memory map, when Serve began.
  uint64_t generation_ = 0;
  // While requests of an older map are under way, new ones count for the other.
  std::array<Epoch, 2> epochs_;
  size_t epoch_ = 0;

  // Pushed by any thread, the last one first; taken as a whole by the lane.
  std::atomic<Slot*> completed_ = nullptr;
  DescriptorChain chain_;
};

VirtioBlock::Lane::Lane(VirtioBlock& device, VirtioLink& link, uint16_t index,
                        uint16_t size)
    : device_(device),
      link_(link),
      memory_(link.memory()),
      index_(index),
      features_(link.features()),
      slots_(std::make_unique<Slot[]>(size)),
      iovecs_(std::make_unique_for_overwrite<iovec[]>(
          size * DescriptorChain::kMaxSegments)),
      places_(std::make_unique_for_overwrite<Place[]>(
          size * DescriptorChain::kMaxSegments)) {
  for (size_t i = size; i-- > 0;) {
    Slot& slot = slots_[i];
    slot.owner = &device;
    slot.lane = this;
    slot.room = &iovecs_[i * DescriptorChain::kMaxSegments];
    slot.places = &places_[i * DescriptorChain::kMaxSegments];
    slot.next = std::exchange(free_, &slot);
  }
}

void VirtioBlock::Lane::Serve() {
  Virtqueue* const queue = link_.queue(index_);
  if (queue == nullptr) return;
  generation_ = memory_.generation();
  if (!queue->Refresh()) return link_.Fail();
  TakeCompleted(*queue);
  ServeQueue(link_, index_, index_, chain_,
             [this, queue](DescriptorChain&) { return Handle(*queue); });
  device_.backend_.Start();
}

bool VirtioBlock::Lane::Complete(Slot& slot, BlockAnswer answer) {
  slot.answer = answer;
  Slot* before = completed_.load(std::memory_order_relaxed);
  // The release pairs with the acquire in TakeCompleted. From then on the slot
  // is the lane's.
  do {
    slot.next = before;
  } while (!completed_.compare_exchange_weak(
      before, &slot, std::memory_order_release, std::memory_order_relaxed));
  // Who found the list empty wakes for all that follow until it is taken.
  return before == nullptr;
}

void VirtioBlock::Lane::TakeCompleted(Virtqueue& queue) {
  Slot* slot = completed_.exchange(nullptr, std::memory_order_acquire);
  // In the order of completion.
  Slot* ordered = nullptr;
  while (slot != nullptr) {
    Slot* const next = slot->next;
    slot->next = std::exchange(ordered, slot);
    slot = next;
  }
  while (ordered != nullptr) {
    Slot& done = *ordered;
    ordered = done.next;
    Epoch& epoch = epochs_[done.epoch];
    if (--epoch.requests == 0) epoch.pin.Reset();
    Finish(queue, done, done.answer);
  }
}

void VirtioBlock::Lane::Pin(Slot& slot) {
  Epoch* epoch = &epochs_[epoch_];
  // An older pin keeps what a newer one would; only it should not live on and
  // on under load.
  if (epoch->requests != 0 && epoch->generation != generation_ &&
      epochs_[1 - epoch_].requests == 0) {
    epoch_ = 1 - epoch_;
    epoch = &epochs_[epoch_];
  }
  if (epoch->requests++ == 0) {
    epoch->pin = memory_.PinFrom(generation_);
    epoch->generation = generation_;
  }
  slot.epoch = epoch_;
}

ChainResult VirtioBlock::Lane::Handle(Virtqueue& queue) {
  // The status is the last writable byte (section 5.2.6). Without one there is
  // no answer.
  if (chain_.writable_size() == 0) return ChainResult::kFail;
  // All slots are under way, if the driver made more available than there are
  // places in the ring. A completion wakes the lane.
  if (free_ == nullptr) return ChainResult::kLater;
  Slot& slot = *free_;
  const ChainSegment& last = chain_.writable().back();
  slot.token = chain_.token();
  slot.status = last.gpa + (last.size - 1);
  slot.writable = chain_.writable_size() - 1;
  slot.buffers = {};
  slot.durable = false;
  slot.unmap = false;
  slot.offset = 0;
  slot.size = 0;
  slot.note = 0;

  slot.filled = 0;

  std::optional<BlockAnswer> answer = Parse(slot);
  if (!answer.has_value()) {
    const uint64_t charged =
        slot.operation == BlockOperation::kDiscard ? 0 : slot.size;
    RateLimiter& limiter = *device_.limiter_;
    const bool limited = limiter.limited();
    if (limited) {
      const absl::Duration now = link_.clock().Monotonic();
      if (const absl::Duration ready = limiter.Take(charged, now);
          ready > now) {
        link_.SetDeadline(index_, ready);
        return ChainResult::kLater;
      }
    }
    // Not the lane's any more: it may be completed before Submit returns.
    free_ = slot.next;
    answer = device_.backend_.Submit(slot);
    if (*answer == BlockAnswer::kPending) {
      Pin(slot);
      return ChainResult::kTaken;
    }
    free_ = &slot;
    if (*answer == BlockAnswer::kLater) {
      if (limited) limiter.Return(charged);
      return ChainResult::kLater;
    }
  }
  free_ = slot.next;
  Finish(queue, slot, *answer);
  return ChainResult::kTaken;
}

std::optional<BlockAnswer> VirtioBlock::Lane::Parse(Slot& slot) {
  ChainReader reader(chain_.readable());
  block::RequestHeader header;
  if (!reader.Read(std::as_writable_bytes(std::span(&header, 1)))) {
    return BlockAnswer::kIoError;
  }
  switch (header.type) {
    case block::kIn:
      return ParseTransfer(slot, /*is_read=*/true, header.sector);
    case block::kOut:
      return ParseTransfer(slot, /*is_read=*/false, header.sector);
    case block::kFlushRequest:
      if ((features_ & block::kFlush) == 0) return BlockAnswer::kUnsupported;
      slot.operation = BlockOperation::kFlush;
      return std::nullopt;
    case block::kGetId:
      return GetId(slot);
    case block::kDiscardRequest:
      if ((features_ & block::kDiscard) == 0) return BlockAnswer::kUnsupported;
      return ParseRange(slot, reader, /*is_discard=*/true);
    case block::kWriteZeroesRequest:
      if ((features_ & block::kWriteZeroes) == 0) {
        return BlockAnswer::kUnsupported;
      }
      return ParseRange(slot, reader, /*is_discard=*/false);
    default:
      return BlockAnswer::kUnsupported;
  }
}

bool VirtioBlock::Lane::InDisk(uint64_t sector, uint64_t size) const {
  // Both in sectors, so that no sum overflows.
  const uint64_t block_mask =
      device_.config_.block_size / block::kSectorSize - 1;
  const uint64_t sectors = size / block::kSectorSize;
  return size % block::kSectorSize == 0 &&
         ((sector | sectors) & block_mask) == 0 &&
         RangeFits(device_.capacity_sectors(), sector, sectors);
}

std::optional<BlockAnswer> VirtioBlock::Lane::ParseTransfer(Slot& slot,
                                                            bool is_read,
                                                            uint64_t sector) {
  const uint64_t size =
      is_read ? slot.writable
              : chain_.readable_size() - sizeof(block::RequestHeader);
  if (!is_read && device_.read_only_) return BlockAnswer::kIoError;
  if (!InDisk(sector, size)) return BlockAnswer::kIoError;
  if (size == 0) return BlockAnswer::kOk;
  slot.operation = is_read ? BlockOperation::kRead : BlockOperation::kWrite;
  slot.offset = sector * block::kSectorSize;
  slot.size = size;
  slot.durable =
      !is_read && !device_.writeback_.load(std::memory_order_relaxed);
  if (is_read) {
    SetBuffers(slot, chain_.writable(), 0);
  } else {
    SetBuffers(slot, chain_.readable(), sizeof(block::RequestHeader));
  }
  return std::nullopt;
}

std::optional<BlockAnswer> VirtioBlock::Lane::ParseRange(Slot& slot,
                                                         ChainReader& reader,
                                                         bool is_discard) {
  // Section 5.2.6.1: as many ranges as the configuration allows, here one.
  block::Range range;
  if (reader.remaining() != sizeof range ||
      !reader.Read(std::as_writable_bytes(std::span(&range, 1)))) {
    return BlockAnswer::kIoError;
  }
  // Section 5.2.6.2: unknown flags, and unmap with a discard, are unsupported.
  const uint32_t known = is_discard ? 0 : block::kUnmap;
  if ((range.flags & ~known) != 0) return BlockAnswer::kUnsupported;
  if (range.sectors >
      (is_discard ? kMaxDiscardSectors : kMaxWriteZeroesSectors)) {
    return BlockAnswer::kIoError;
  }
  const uint64_t size = range.sectors * block::kSectorSize;
  if (!InDisk(range.sector, size)) return BlockAnswer::kIoError;
  if (size == 0) return BlockAnswer::kOk;
  slot.operation =
      is_discard ? BlockOperation::kDiscard : BlockOperation::kWriteZeroes;
  slot.offset = range.sector * block::kSectorSize;
  slot.size = size;
  slot.unmap = (range.flags & block::kUnmap) != 0;
  slot.durable =
      !is_discard && !device_.writeback_.load(std::memory_order_relaxed);
  return std::nullopt;
}

BlockAnswer VirtioBlock::Lane::GetId(Slot& slot) {
  // The status's byte is none of the data's.
  if (slot.writable < block::kIdSize) return BlockAnswer::kIoError;
  std::array<std::byte, block::kIdSize> id{};
  std::memcpy(id.data(), device_.serial_.data(), device_.serial_.size());
  ChainWriter writer(chain_.writable(), memory_);
  if (!writer.Write(id)) return BlockAnswer::kIoError;
  slot.filled = id.size();
  return BlockAnswer::kOk;
}

void VirtioBlock::Lane::SetBuffers(Slot& slot,
                                   std::span<const ChainSegment> segments,
                                   uint64_t skip) {
  size_t count = 0;
  uint64_t left = slot.size;
  for (const ChainSegment& segment : segments) {
    if (skip >= segment.size) {
      skip -= segment.size;
      continue;
    }
    const uint64_t size = std::min(segment.size - skip, left);
    if (size == 0) break;
    slot.room[count] = {.iov_base = segment.data + skip, .iov_len = size};
    slot.places[count] = {.gpa = (segment.gpa + skip).value(), .size = size};
    ++count;
    left -= size;
    skip = 0;
  }
  slot.buffers = std::span(slot.room, count);
}

void VirtioBlock::Lane::Finish(Virtqueue& queue, Slot& slot,
                               BlockAnswer answer) {
  slot.next = std::exchange(free_, &slot);
  if (slot.operation == BlockOperation::kRead && slot.size > 0) {
    if (answer == BlockAnswer::kOk) slot.filled = slot.size;
    // A read that failed may have filled a part.
    uint64_t left = slot.size;
    for (const Place* place = slot.places; left > 0; ++place) {
      memory_.MarkDirty({Gpa(place->gpa), place->size});
      left -= place->size;
    }
  }
  // Where that is memory no more, the driver took it away itself.
  (void)memory_.Store<uint8_t>(slot.status, StatusOf(answer));
  // Bytes from the front (section 2.7.8.2): the status counts only where all
  // before it was written.
  const uint64_t written =
      slot.filled == slot.writable ? slot.writable + 1 : slot.filled;
  queue.Push(slot.token, static_cast<uint32_t>(std::min<uint64_t>(
                             written, std::numeric_limits<uint32_t>::max())));
}

absl::StatusOr<std::unique_ptr<VirtioBlock>> VirtioBlock::Create(
    BlockBackend& backend, Options options) {
  LIBVMM_RETURN_IF_ERROR(
      backend.traits().Validate("VirtioBlock: the back-end's "));
  if (options.queues == 0 || options.queues > kMaxQueues) {
    return absl::InvalidArgumentError(
        absl::StrCat("VirtioBlock::Options::queues ", options.queues,
                     " is not 1 to ", kMaxQueues));
  }
  if (!std::has_single_bit(options.queue_size) ||
      options.queue_size < kMinQueueSize ||
      options.queue_size > kMaxQueueSize) {
    return absl::InvalidArgumentError(absl::StrCat(
        "VirtioBlock::Options::queue_size ", options.queue_size,
        " is not a power of two from ", kMinQueueSize, " to ", kMaxQueueSize));
  }
  if (options.serial.size() > block::kIdSize) {
    return absl::InvalidArgumentError(
        absl::StrCat("VirtioBlock::Options::serial \"", options.serial,
                     "\" is longer than ", block::kIdSize, " bytes"));
  }
  LIBVMM_ASSIGN_OR_RETURN(std::unique_ptr<RateLimiter> limiter,
                          RateLimiter::Create(options.limits));
  return std::unique_ptr<VirtioBlock>(
      new VirtioBlock(backend, options, std::move(limiter)));
}

VirtioBlock::VirtioBlock(BlockBackend& backend, const Options& options,
                         std::unique_ptr<RateLimiter> limiter)
    : backend_(backend),
      serial_(options.serial),
      read_only_(options.read_only || backend.traits().read_only),
      traits_(MakeTraits(backend.traits(), options, read_only_)),
      limiter_(std::move(limiter)),
      config_(MakeConfig(backend.traits(), options)),
      writeback_(backend.traits().volatile_cache) {}

VirtioBlock::~VirtioBlock() = default;

uint64_t VirtioBlock::capacity_sectors() const {
  const uint64_t capacity = backend_.capacity();
  return (capacity - capacity % config_.block_size) / block::kSectorSize;
}

void VirtioBlock::ReadConfig(uint32_t offset, std::span<std::byte> data) {
  block::Config config = config_;
  config.capacity = capacity_sectors();
  config.writeback = writeback_.load(std::memory_order_relaxed) ? 1 : 0;
  const auto bytes =
      std::as_bytes(std::span(&config, 1)).first(block::kConfigSize);
  std::ranges::copy(bytes.subspan(offset, data.size()), data.begin());
}

void VirtioBlock::WriteConfig(uint32_t offset,
                              std::span<const std::byte> data) {
  constexpr uint32_t kWriteback = offsetof(block::Config, writeback);
  if (offset > kWriteback || kWriteback - offset >= data.size()) return;
  // Section 5.2.5.1: without flushes there is no way back from write-through.
  constexpr uint64_t kNeeded = block::kConfigWriteback | block::kFlush;
  const uint64_t features = features_.load(std::memory_order_relaxed);
  if ((features & kNeeded) != kNeeded) return;
  writeback_.store(data[kWriteback - offset] != std::byte{0},
                   std::memory_order_relaxed);
}

bool VirtioBlock::Activate(VirtioLink& link) {
  if (link.queue(0) == nullptr) return false;
  const uint64_t features = link.features();
  features_.store(features, std::memory_order_relaxed);
  // Section 5.2.5.2: a driver that knows no flushes gets a write-through cache.
  writeback_.store(
      backend_.traits().volatile_cache && (features & block::kFlush) != 0,
      std::memory_order_relaxed);
  link_ = &link;
  lanes_.resize(traits_.queues.size());
  for (uint16_t i = 0; i < traits_.queues.size(); ++i) {
    Virtqueue* const queue = link.queue(i);
    if (queue == nullptr) continue;
    lanes_[i] = std::make_unique<Lane>(*this, link, i, queue->config().size);
  }
  link_slot_.Set(link);
  return true;
}

void VirtioBlock::Serve(uint16_t lane) {
  if (lane == 0 && resized_.exchange(false, std::memory_order_relaxed)) {
    link_->ConfigChanged();
  }
  if (lanes_[lane] != nullptr) lanes_[lane]->Serve();
}

void VirtioBlock::Reset() {
  link_slot_.Clear();
  backend_.Drain();
  lanes_.clear();
  link_ = nullptr;
  features_.store(0, std::memory_order_relaxed);
  writeback_.store(backend_.traits().volatile_cache, std::memory_order_relaxed);
}

void VirtioBlock::OnComplete(std::span<const BlockCompletion> completions) {
  uint64_t woken = 0;
  static_assert(kMaxQueues <= 64);
  for (const BlockCompletion& completion : completions) {
    Slot& slot = static_cast<Slot&>(*completion.request);
    Lane& lane = *slot.lane;
    if (lane.Complete(slot, completion.answer)) {
      woken |= uint64_t{1} << lane.index();
    }
  }
  for (; woken != 0; woken &= woken - 1) {
    link_->Wake(static_cast<uint16_t>(std::countr_zero(woken)));
  }
}

void VirtioBlock::OnRoom() {
  for (uint16_t i = 0; i < lanes_.size(); ++i) link_->Wake(i);
}

void VirtioBlock::WakeAll() {
  for (uint16_t i = 0; i < traits_.lanes; ++i) link_slot_.Wake(i);
}

void VirtioBlock::Resized() {
  resized_.store(true, std::memory_order_relaxed);
  WakeAll();
}

absl::Status VirtioBlock::SetLimits(const RateLimiter::Limits& limits) {
  LIBVMM_RETURN_IF_ERROR(limiter_->SetLimits(limits));
  WakeAll();
  return absl::OkStatus();
}

}  // namespace libvmm
