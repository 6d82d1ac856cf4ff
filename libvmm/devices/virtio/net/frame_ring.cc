// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/virtio/net/frame_ring.h"

#include <cstring>

#include "absl/strings/str_cat.h"

namespace libvmm {
namespace {

// What stands before each frame. Records begin at multiples of kAlignment and
// lie together; where one would not before the end of the buffer, kSkip says to
// go on at its start.
struct Record {
  uint32_t size = 0;
  NetHeader header;
};
constexpr size_t kAlignment = 16;
constexpr uint32_t kSkip = 0xffffffff;
static_assert(sizeof(Record) == kAlignment);

size_t RecordSize(size_t frame_size) {
  return sizeof(Record) +
         (frame_size + kAlignment - 1) / kAlignment * kAlignment;
}

}  // namespace

absl::Status FrameRing::CheckCapacity(absl::string_view what, size_t capacity) {
  if (capacity >= kMinCapacity && capacity <= kMaxCapacity &&
      capacity % kAlignment == 0) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat(what, ": ", capacity, ", not a multiple of ", kAlignment,
                   " from ", kMinCapacity, " to ", kMaxCapacity));
}

FrameRing::FrameRing(size_t capacity)
    : capacity_(capacity),
      buffer_(std::make_unique_for_overwrite<std::byte[]>(capacity)) {}

bool FrameRing::HasRoom(uint64_t tail, size_t needed) const {
  // Pairs with the store in TakeFrom: what the taker read it has read.
  const uint64_t head = head_.value.load(std::memory_order_seq_cst);
  return capacity_ - (tail - head) >= needed;
}

FrameRing::PushResult FrameRing::Push(const OutgoingFrame& frame) {
  uint64_t tail = tail_.value.load(std::memory_order_relaxed);
  const size_t record_size = RecordSize(frame.size());
  const size_t until_end = capacity_ - tail % capacity_;
  const size_t skipped = until_end < record_size ? until_end : 0;
  if (!HasRoom(tail, skipped + record_size)) {
    // First say so, then look again: the taker moves its head, then looks here.
    putter_waits_.store(true, std::memory_order_seq_cst);
    if (!HasRoom(tail, skipped + record_size)) return PushResult::kFull;
    putter_waits_.store(false, std::memory_order_relaxed);
  }
  if (skipped != 0) {
    const Record skip{.size = kSkip, .header = {}};
    std::memcpy(buffer_.get() + tail % capacity_, &skip, sizeof skip);
    tail += skipped;
  }
  std::byte* const at = buffer_.get() + tail % capacity_;
  const Record record{.size = static_cast<uint32_t>(frame.size()),
                      .header = frame.header()};
  std::memcpy(at, &record, sizeof record);
  frame.CopyTo({at + sizeof record, frame.size()});
  tail_.value.store(tail + record_size, std::memory_order_seq_cst);
  // Pairs with Front: it says that it waits, then looks at the tail again.
  if (taker_waits_.load(std::memory_order_seq_cst) &&
      taker_waits_.exchange(false)) {
    return PushResult::kDoneWakeTaker;
  }
  return PushResult::kDone;
}

bool FrameRing::empty() const {
  return head_.value.load(std::memory_order_acquire) ==
         tail_.value.load(std::memory_order_acquire);
}

const IncomingFrame* FrameRing::Front() {
  if (has_front_) return &front_;
  uint64_t head = head_.value.load(std::memory_order_relaxed);
  if (tail_.value.load(std::memory_order_acquire) == head) {
    taker_waits_.store(true, std::memory_order_seq_cst);
    if (tail_.value.load(std::memory_order_seq_cst) == head) return nullptr;
    taker_waits_.store(false, std::memory_order_relaxed);
  }
  Record record;
  std::memcpy(&record, buffer_.get() + head % capacity_, sizeof record);
  if (record.size == kSkip) {
    head += capacity_ - head % capacity_;
    std::memcpy(&record, buffer_.get() + head % capacity_, sizeof record);
  }
  front_ = {
      .header = record.header,
      .bytes = {buffer_.get() + head % capacity_ + sizeof record, record.size}};
  front_end_ = head + RecordSize(record.size);
  has_front_ = true;
  return &front_;
}

bool FrameRing::TakeFrom(uint64_t head) {
  has_front_ = false;
  head_.value.store(head, std::memory_order_seq_cst);
  // Pairs with the store in Push.
  if (!putter_waits_.load(std::memory_order_seq_cst)) return false;
  const uint64_t used = tail_.value.load(std::memory_order_relaxed) - head;
  return used <= capacity_ / 2 && putter_waits_.exchange(false);
}

bool FrameRing::PopFront() { return TakeFrom(front_end_); }

bool FrameRing::Clear() {
  return TakeFrom(tail_.value.load(std::memory_order_acquire));
}

}  // namespace libvmm
