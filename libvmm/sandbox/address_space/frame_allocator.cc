// SPDX-License-Identifier: Apache-2.0
#include "libvmm/sandbox/address_space/frame_allocator.h"

#include <algorithm>
#include <bit>

namespace libvmm::sandbox {
namespace {

constexpr uint64_t kWordBits = 64;

bool Get(const std::vector<uint64_t>& bits, uint64_t index) {
  return (bits[index / kWordBits] >> (index % kWordBits) & 1) != 0;
}

void Put(std::vector<uint64_t>& bits, uint64_t index, bool value) {
  const uint64_t mask = uint64_t{1} << (index % kWordBits);
  if (value) {
    bits[index / kWordBits] |= mask;
  } else {
    bits[index / kWordBits] &= ~mask;
  }
}

}  // namespace

FrameAllocator::FrameAllocator(GpaRange managed) : managed_(managed) {}

std::optional<uint64_t> FrameAllocator::IndexOf(Gpa frame) const {
  if (!frame.IsAligned(kFrameSize) || !managed_.Contains(frame, kFrameSize)) {
    return {};
  }
  const uint64_t index = (frame - managed_.start) / kFrameSize;
  if (index >= fresh_from_) return {};
  return index;
}

std::optional<FrameAllocator::Frame> FrameAllocator::Allocate(FrameUse use) {
  const bool fresh = free_ == 0;
  uint64_t index = fresh_from_;
  if (fresh) {
    if (fresh_from_ == managed_.size / kFrameSize) return {};
    if (fresh_from_ % kWordBits == 0) {
      taken_.push_back(0);
      tables_.push_back(0);
    }
    ++fresh_from_;
  } else {
    // The bits of frames from fresh_from_ on are clear too, but a free one
    // comes before them.
    uint64_t word = first_free_ / kWordBits;
    while ((taken_[word] | tables_[word]) == ~uint64_t{0}) ++word;
    index =
        word * kWordBits +
        static_cast<uint64_t>(std::countr_one(taken_[word] | tables_[word]));
    first_free_ = index + 1;
    --free_;
  }
  Put(taken_, index, true);
  Put(tables_, index, use == FrameUse::kTable);
  ++used_;
  return Frame{managed_.start + index * kFrameSize, fresh};
}

bool FrameAllocator::TakeFirstTables(uint64_t count) {
  for (; count != 0; --count) {
    if (!Allocate(FrameUse::kTable)) return false;
  }
  return true;
}

bool FrameAllocator::Free(Gpa frame) {
  if (!UseOf(frame)) return false;
  const uint64_t index = *IndexOf(frame);
  Put(taken_, index, false);
  Put(tables_, index, true);
  resting_.push_back(static_cast<uint32_t>(index));
  --used_;
  return true;
}

void FrameAllocator::ReleaseFreed() {
  for (const uint32_t index : resting_) {
    Put(tables_, index, false);
    first_free_ = std::min<uint64_t>(first_free_, index);
  }
  free_ += resting_.size();
  resting_.clear();
}

std::optional<FrameUse> FrameAllocator::UseOf(Gpa frame) const {
  const std::optional<uint64_t> index = IndexOf(frame);
  if (!index || !Get(taken_, *index)) return {};
  return Get(tables_, *index) ? FrameUse::kTable : FrameUse::kPage;
}

uint64_t FrameAllocator::available() const {
  return managed_.size / kFrameSize - fresh_from_ + free_;
}

}  // namespace libvmm::sandbox
