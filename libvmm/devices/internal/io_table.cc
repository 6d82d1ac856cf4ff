// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/internal/io_table.h"

#include <algorithm>
#include <utility>

namespace libvmm::internal {
namespace {

// A bucket that touches more entries than this is cut again.
constexpr size_t kCrowd = 2;
// Levels of grids below the first: a PC's memory map has clusters (the hole
// below 4 GiB, the 64-bit window), and clusters of clusters are an oddity.
constexpr int kDeepestCut = 1;

}  // namespace

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

const IoTableEntry* IoTable::Search(const IoTableEntry* entry, size_t others,
                                    uint64_t address) {
  // The answer is entry, or one of the `others` behind it.
  while (others > 1) {
    const size_t half = others / 2;
    if (entry[half].last() < address) {
      entry += half;
      others -= half;
    } else {
      others = half;
    }
  }
  return entry;
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
  const size_t end = entries_.size() - 1;
  if (end == 0) {
    grids_.emplace_back();  // No buckets.
    return;
  }
  starts_.reserve(2 * end + 1);
  AddGrid({.begin = 0,
           .end = end,
           .from = entries_[0].base,
           .to = entries_[end - 1].last()},
          kDeepestCut);
}

uint32_t IoTable::AddGrid(const Cut& cut, int depth) {
  // The smallest bucket that gives at most two buckets for each entry.
  const uint64_t spread = cut.to - cut.from;
  const uint64_t buckets = 2 * (cut.end - cut.begin);
  uint32_t shift = 0;
  while ((spread >> shift) >= buckets) ++shift;

  const auto index = static_cast<uint32_t>(grids_.size());
  const Grid grid{.origin = cut.from,
                  .first = static_cast<uint32_t>(starts_.size()),
                  .count = static_cast<uint32_t>((spread >> shift) + 1),
                  .shift = shift};
  grids_.push_back(grid);
  size_t entry = cut.begin;
  for (uint64_t i = 0; i < grid.count; ++i) {
    while (entries_[entry].last() < grid.origin + (i << shift)) ++entry;
    starts_.push_back({.entry = static_cast<uint32_t>(entry)});
  }
  starts_.push_back({.entry = static_cast<uint32_t>(cut.end - 1)});
  if (depth == 0) return index;

  for (uint64_t i = 0; i < grid.count; ++i) {
    const size_t begin = starts_[grid.first + i].entry;
    const size_t last = starts_[grid.first + i + 1].entry;
    if (last - begin + 1 <= kCrowd) continue;
    const uint64_t bucket_first = grid.origin + (i << shift);
    const uint64_t bucket_last =
        bucket_first +
        std::min((uint64_t{1} << shift) - 1, cut.to - bucket_first);
    // The last one may begin behind the bucket: it only ends the search there.
    const size_t end = entries_[last].base <= bucket_last ? last + 1 : last;
    const Cut inner{
        .begin = begin,
        .end = end,
        .from = std::max(bucket_first, entries_[begin].base),
        .to = std::min(bucket_last, entries_[end - 1].last()),
    };
    starts_[grid.first + i].grid = AddGrid(inner, depth - 1);
  }
  return index;
}

}  // namespace libvmm::internal
