// SPDX-License-Identifier: Apache-2.0
#include "libvmm/sandbox/files/file_contents.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

namespace libvmm::sandbox::internal {
namespace {

// For an entry of the table of blocks, whose vector may be half empty.
constexpr uint64_t kBlockCharge = 48;
constexpr size_t kSmallestBlock = 256;

}  // namespace

FileContents::FileContents(const FileContents& other)
    : base_(other.base_),
      size_(other.size_),
      charge_(other.charge_),
      blocks_(other.blocks_) {
  for (Block& block : blocks_) block.owned = 0;
}

uint64_t FileContents::allocated() const {
  return base_.size() + charge_ - blocks_.size() * kBlockCharge;
}

std::span<const std::byte> FileContents::BaseOf(uint64_t index) const {
  const uint64_t start = index * kBlockSize;
  if (start >= base_.size()) return {};
  return base_.subspan(start, std::min(kBlockSize, base_.size() - start));
}

size_t FileContents::Read(uint64_t offset, std::span<std::byte> to) const {
  if (offset >= size_) return 0;
  to = to.first(std::min<uint64_t>(to.size(), size_ - offset));
  for (size_t done = 0; done < to.size();) {
    const uint64_t index = (offset + done) / kBlockSize;
    const size_t begin = (offset + done) % kBlockSize;
    const size_t count = std::min<size_t>(to.size() - done, kBlockSize - begin);
    std::span<const std::byte> from = BaseOf(index);
    if (index < blocks_.size() && blocks_[index].bytes != nullptr) {
      from = {blocks_[index].bytes.get(), blocks_[index].size};
    }
    from = from.subspan(std::min(begin, from.size()));
    const size_t valid = std::min(count, from.size());
    if (valid != 0) std::memcpy(to.data() + done, from.data(), valid);
    if (count != valid) std::memset(to.data() + done + valid, 0, count - valid);
    done += count;
  }
  return to.size();
}

size_t FileContents::Write(uint64_t offset, std::span<const std::byte> from,
                           uint64_t budget) {
  const uint64_t limit = charge_ + budget;
  size_t done = 0;
  while (done < from.size()) {
    const uint64_t index = (offset + done) / kBlockSize;
    const size_t begin = (offset + done) % kBlockSize;
    const size_t count =
        std::min<size_t>(from.size() - done, kBlockSize - begin);
    // What Resize left behind the end must not come back.
    if (!Prepare(index, begin + count, limit)) break;
    Block& block = blocks_[index];
    if (begin > block.size) {
      std::memset(block.bytes.get() + block.size, 0, begin - block.size);
    }
    std::memcpy(block.bytes.get() + begin, from.data() + done, count);
    block.size = std::max<uint32_t>(block.size, begin + count);
    done += count;
    size_ = std::max(size_, offset + done);
  }
  return done;
}

bool FileContents::Prepare(uint64_t index, size_t end, uint64_t limit) {
  const uint64_t count = std::max<uint64_t>(blocks_.size(), index + 1);
  const Block none;
  const Block& old = index < blocks_.size() ? blocks_[index] : none;
  if (old.owned != 0 && old.capacity >= end) return true;

  std::span<const std::byte> valid = BaseOf(index);
  if (old.bytes != nullptr) valid = {old.bytes.get(), old.size};
  // Block by block as it is needed, but for a file that is written in order.
  const bool sequential = index > 0 && index - 1 < blocks_.size() &&
                          blocks_[index - 1].size == kBlockSize;
  const size_t capacity =
      sequential ? kBlockSize
                 : std::bit_ceil(std::max({end, valid.size(), kSmallestBlock}));
  const uint64_t charge = charge_ - old.capacity + capacity +
                          (count - blocks_.size()) * kBlockCharge;
  if (charge > limit) return false;

  Block block;
  block.bytes = std::make_shared_for_overwrite<std::byte[]>(capacity);
  block.size = static_cast<uint32_t>(valid.size());
  block.capacity = static_cast<uint32_t>(capacity);
  block.owned = 1;
  if (!valid.empty()) {
    std::memcpy(block.bytes.get(), valid.data(), valid.size());
  }
  blocks_.resize(count);
  blocks_[index] = std::move(block);
  charge_ = charge;
  return true;
}

void FileContents::Resize(uint64_t size) {
  if (size < size_) {
    base_ = base_.first(std::min<uint64_t>(base_.size(), size));
    const uint64_t count = (size + kBlockSize - 1) / kBlockSize;
    while (blocks_.size() > count) {
      charge_ -= blocks_.back().capacity + kBlockCharge;
      blocks_.pop_back();
    }
    if (blocks_.capacity() > 2 * blocks_.size()) blocks_.shrink_to_fit();
    const auto tail = static_cast<uint32_t>(size % kBlockSize);
    if (tail != 0 && blocks_.size() == count) {
      blocks_.back().size = std::min(blocks_.back().size, tail);
    }
  }
  size_ = size;
}

}  // namespace libvmm::sandbox::internal
