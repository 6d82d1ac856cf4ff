// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/internal/io_table.h"

#include <algorithm>
#include <utility>

namespace libvmm::internal {

IoTable::IoTable(AddressSpace space, std::vector<IoTableEntry> entries,
                 const IoTableEntry& fallback)
    : space_(space), entries_(std::move(entries)), fallback_(fallback) {
  entries_.emplace_back();
  if (space_ == AddressSpace::kPio) {
    IndexPorts();
  } else {
    IndexMemory();
  }
}

void IoTable::IndexPorts() {
  const std::span<const IoTableEntry> ranges = entries();
  uint16_t blocks = 1;
  for (const IoTableEntry& entry : ranges) {
    for (uint64_t block = entry.base / kBlockPorts;
         block <= entry.last() / kBlockPorts; ++block) {
      if (block_of_[block] == 0) block_of_[block] = blocks++;
    }
  }
  // A port that no entry claims names entry 0, which then refuses it.
  blocks_.resize(blocks);
  for (size_t i = 0; i < ranges.size(); ++i) {
    uint64_t port = ranges[i].base;
    for (uint64_t left = ranges[i].size; left > 0;) {
      const uint64_t first = port % kBlockPorts;
      const uint64_t count = std::min(left, kBlockPorts - first);
      std::fill_n(blocks_[block_of_[port / kBlockPorts]].begin() + first, count,
                  static_cast<uint16_t>(i));
      port += count;
      left -= count;
    }
  }
}

void IoTable::IndexMemory() {
  const size_t end = entries().size();
  if (end == 0) {
    grids_.emplace_back();  // No buckets.
    return;
  }
  buckets_.reserve(2 * end);
  AddGrid({.begin = 0,
           .end = end,
           .from = entries_[0].base,
           .to = entries_[end - 1].last()});
}

uint32_t IoTable::AddGrid(const Cut& cut) {
  // The smallest bucket that gives at most two buckets for each entry.
  const uint64_t spread = cut.to - cut.from;
  uint32_t shift = 0;
  while ((spread >> shift) >= 2 * (cut.end - cut.begin)) ++shift;

  const auto index = static_cast<uint32_t>(grids_.size());
  const Grid grid{.origin = cut.from,
                  .first = static_cast<uint32_t>(buckets_.size()),
                  .count = static_cast<uint32_t>((spread >> shift) + 1),
                  .shift = shift};
  grids_.push_back(grid);
  buckets_.resize(buckets_.size() + grid.count);
  // `begin` is the first entry that ends in the bucket or behind it, `last` the
  // one that ends behind it, or the last of the cut.
  for (size_t i = 0, begin = cut.begin; i < grid.count; ++i) {
    const uint64_t first = grid.origin + (uint64_t{i} << shift);
    const uint64_t final =
        first + std::min((uint64_t{1} << shift) - 1, cut.to - first);
    size_t last = begin;
    while (last + 1 < cut.end && entries_[last].last() <= final) ++last;
    buckets_[grid.first + i] = static_cast<uint32_t>(begin);
    if (last - begin > 1) {
      // Smaller than this cut, which has at least two buckets; and no larger
      // than the entries in it, so that a cluster is cut as finely as it needs.
      const size_t end = entries_[last].base <= final ? last + 1 : last;
      const uint32_t inner =
          AddGrid({.begin = begin,
                   .end = end,
                   .from = std::max(first, entries_[begin].base),
                   .to = std::min(final, entries_[end - 1].last())});
      buckets_[grid.first + i] = kIsGrid | inner;
    }
    begin = last;
  }
  return index;
}

}  // namespace libvmm::internal
