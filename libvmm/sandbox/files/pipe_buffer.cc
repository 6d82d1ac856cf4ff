// SPDX-License-Identifier: Apache-2.0
#include "libvmm/sandbox/files/pipe_buffer.h"

#include <algorithm>
#include <cstring>

namespace libvmm::sandbox::internal {

size_t PipeBuffer::Read(std::span<std::byte> to) {
  const size_t count = std::min(to.size(), size_);
  if (count == 0) return 0;
  const size_t first = std::min(count, kCapacity - start_);
  std::memcpy(to.data(), ring_.data() + start_, first);
  std::memcpy(to.data() + first, ring_.data(), count - first);
  start_ = (start_ + count) % kCapacity;
  size_ -= count;
  return count;
}

size_t PipeBuffer::Write(std::span<const std::byte> from) {
  const size_t count = std::min(from.size(), room());
  if (count == 0) return 0;
  if (ring_.empty()) ring_.resize(kCapacity);
  const size_t end = (start_ + size_) % kCapacity;
  const size_t first = std::min(count, kCapacity - end);
  std::memcpy(ring_.data() + end, from.data(), first);
  std::memcpy(ring_.data(), from.data() + first, count - first);
  size_ += count;
  return count;
}

}  // namespace libvmm::sandbox::internal
