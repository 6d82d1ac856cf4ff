// SPDX-License-Identifier: Apache-2.0
#include "libvmm/sandbox/program/segment.h"

#include <algorithm>
#include <array>
#include <cstring>

namespace libvmm::sandbox {

const ProgramSegment* SegmentView::Find(Gva gva, uint64_t bytes) const {
  const auto after = std::upper_bound(
      segments_.begin(), segments_.end(), gva,
      [](Gva at, const ProgramSegment& segment) { return at < segment.gva; });
  if (after == segments_.begin()) return nullptr;
  const ProgramSegment& segment = *std::prev(after);
  return segment.Contains(gva, bytes) ? &segment : nullptr;
}

const ProgramSegment* SegmentView::FindExecutable(Gva gva) const {
  const ProgramSegment* const segment = Find(gva);
  return segment != nullptr && segment->executable ? segment : nullptr;
}

std::optional<std::span<const std::byte>> SegmentView::Contents(
    Gva gva, uint64_t bytes) const {
  const ProgramSegment* const segment = Find(gva, bytes);
  if (segment == nullptr) return {};
  // Below contents_gva the distance wraps and is beyond every size.
  const uint64_t offset = gva - segment->contents_gva;
  if (!RangeFits(segment->contents.size(), offset, bytes)) return {};
  return segment->contents.subspan(offset, bytes);
}

std::optional<uint64_t> SegmentView::Word(Gva gva) const {
  const ProgramSegment* const segment = Find(gva, sizeof(uint64_t));
  if (segment == nullptr) return {};
  std::array<std::byte, sizeof(uint64_t)> bytes{};
  for (size_t i = 0; i < bytes.size(); ++i) {
    // Below contents_gva the distance wraps and is beyond every size.
    const uint64_t offset = gva + i - segment->contents_gva;
    if (offset < segment->contents.size()) bytes[i] = segment->contents[offset];
  }
  uint64_t word = 0;
  std::memcpy(&word, bytes.data(), sizeof word);
  return word;
}

}  // namespace libvmm::sandbox
