// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/virtio/ring/chain_reader.h"

#include <algorithm>

#include "libvmm/memory/guest_copy.h"

namespace libvmm {

ChainReader::ChainReader(std::span<const ChainSegment> segments)
    : segments_(segments) {
  for (const ChainSegment& segment : segments) remaining_ += segment.size;
}

bool ChainReader::Read(std::span<std::byte> to) {
  if (to.size() > remaining_) return false;
  ReadSome(to);
  return true;
}

size_t ChainReader::ReadSome(std::span<std::byte> to) {
  size_t done = 0;
  while (done < to.size()) {
    const std::span<const std::byte> piece = Next(to.size() - done);
    if (piece.empty()) break;
    internal::CopyFromGuest(to.data() + done, piece.data(), piece.size());
    done += piece.size();
  }
  return done;
}

uint64_t ChainReader::Skip(uint64_t size) {
  uint64_t done = 0;
  while (done < size) {
    const uint64_t piece = Next(size - done).size();
    if (piece == 0) break;
    done += piece;
  }
  return done;
}

std::span<const std::byte> ChainReader::Next(uint64_t size) {
  if (segments_.empty()) return {};
  const ChainSegment& segment = segments_.front();
  const uint64_t here = std::min(size, segment.size - offset_);
  const std::span<const std::byte> piece(segment.data + offset_, here);
  offset_ += here;
  remaining_ -= here;
  if (offset_ == segment.size) {
    segments_ = segments_.subspan(1);
    offset_ = 0;
  }
  return piece;
}

}  // namespace libvmm
