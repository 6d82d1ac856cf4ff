// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/virtio/ring/chain_builder.h"

#include <algorithm>
#include <limits>

#include "libvmm/base/hot.h"

namespace libvmm {

inline bool ChainBuilder::AddSegment(const ChainSegment& segment,
                                     bool writable) {
  if (chain_.count_ == DescriptorChain::kMaxSegments) return false;
  chain_.segments_[chain_.count_++] = segment;
  if (writable) {
    chain_.writable_size_ += segment.size;
  } else {
    chain_.readable_ = chain_.count_;
    chain_.readable_size_ += segment.size;
  }
  return true;
}

LIBVMM_HOT bool ChainBuilder::Add(const Buffer& buffer) {
  if (!buffer.writable && chain_.readable_ != chain_.count_) [[unlikely]] {
    return false;
  }
  if (std::byte* const data = Find(window_, buffer); data != nullptr)
      [[likely]] {
    return AddSegment({.data = data, .size = buffer.size, .gpa = buffer.gpa},
                      buffer.writable);
  }
  // The buffer does not go round the end of the address space.
  if (buffer.size == 0 ||
      buffer.size - 1 >
          std::numeric_limits<uint64_t>::max() - buffer.gpa.value()) {
    return false;
  }
  Gpa gpa = buffer.gpa;
  uint64_t left = buffer.size;
  while (left != 0) {
    window_ = memory_.WindowAt(gpa);
    const uint64_t offset = gpa - window_.gpa;
    const uint64_t limit =
        buffer.writable ? window_.writable_size : window_.size;
    if (offset >= limit) return false;
    const uint64_t here = std::min(left, limit - offset);
    if (!AddSegment({.data = window_.data + offset, .size = here, .gpa = gpa},
                    buffer.writable)) {
      return false;
    }
    gpa = gpa + here;
    left -= here;
  }
  return true;
}

}  // namespace libvmm
