// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_INTERNAL_IO_TABLE_H_
#define LIBVMM_DEVICES_INTERNAL_IO_TABLE_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "libvmm/devices/internal/io_table_entry.h"
#include "libvmm/devices/io_range.h"

namespace libvmm::internal {

// The ranges of a bus at one moment, indexed for lookup.
//
// Ports: a two-level index of 256 blocks of 256 ports, each port naming the one
// entry that can claim it; blocks without a device share one empty block.
// Memory: the span from the first range to the last is cut into equal buckets
// of a power of two bytes, about two for each entry, each naming the entries
// that it touches. With ranges spread evenly that is one entry; a crowded
// bucket is cut into buckets again, and what is left after three levels is a
// binary search.
//
// Thread-safety: immutable.
// Cost: no allocation after construction.
class IoTable {
 public:
  // `entries` is sorted by base and free of overlap. `fallback` is the default
  // device's entry; its device is null when there is none.
  IoTable(AddressSpace space, std::vector<IoTableEntry> entries,
          const IoTableEntry& fallback);

  // The entry that claims all `bytes` at `address`; null when none does.
  [[nodiscard]] const IoTableEntry* Find(uint64_t address,
                                         uint64_t bytes) const {
    const IoTableEntry* const entry =
        space_ == AddressSpace::kPio ? FindPort(address) : FindMemory(address);
    return entry->Claims(address, bytes) ? entry : nullptr;
  }

  [[nodiscard]] std::span<const IoTableEntry> entries() const {
    return std::span(entries_).first(entries_.size() - 1);
  }
  [[nodiscard]] const IoTableEntry& fallback() const { return fallback_; }

 private:
  static constexpr uint64_t kLastPort = 0xffff;
  static constexpr uint64_t kBlockPorts = 256;
  using PortBlock = std::array<uint16_t, kBlockPorts>;

  // Equal buckets over [origin, origin + (count << shift)). Bucket i of a grid
  // is starts_[first + i]; one more start follows the last.
  struct Grid {
    uint64_t origin = 0;
    uint32_t first = 0;
    uint32_t count = 0;
    uint32_t shift = 0;
  };
  // Addresses [from, to], which the entries [begin, end) cover in part.
  struct Cut {
    size_t begin;
    size_t end;
    uint64_t from;
    uint64_t to;
  };
  // The entries from `entry` up to and including the next start's `entry` can
  // claim an address in this bucket.
  struct Start {
    uint32_t entry = 0;
    // Index in grids_ of this bucket's own grid; zero when it has none.
    uint32_t grid = 0;
  };

  // The only entry that may claim `address`; perhaps it does not.
  [[nodiscard]] const IoTableEntry* FindPort(uint64_t address) const {
    if (address > kLastPort) [[unlikely]]
      return &entries_.back();
    const PortBlock& block = blocks_[block_of_[address / kBlockPorts]];
    return &entries_[block[address % kBlockPorts]];
  }
  [[nodiscard]] const IoTableEntry* FindMemory(uint64_t address) const {
    const Grid* grid = grids_.data();
    const Start* start;
    for (;;) {
      const uint64_t bucket = (address - grid->origin) >> grid->shift;
      if (bucket >= grid->count) return &entries_.back();
      start = &starts_[grid->first + bucket];
      if (start->grid == 0) break;
      grid = &grids_[start->grid];
    }
    const IoTableEntry* entry = &entries_[start[0].entry];
    const size_t others = start[1].entry - start[0].entry;
    if (others > 1) [[unlikely]]
      entry = Search(entry, others, address);
    // One of two. Selected, not jumped to: which one is the guest's choice.
    return entry + (entry->last() < address ? 1 : 0);
  }
  // The last of entry[0] to entry[others] that may end before `address`.
  [[nodiscard]] static const IoTableEntry* Search(const IoTableEntry* entry,
                                                  size_t others,
                                                  uint64_t address);

  void IndexPorts();
  void IndexMemory();
  // Cuts `cut` into buckets and returns the grid's index. Crowded buckets get
  // grids of their own down to `depth` further levels.
  uint32_t AddGrid(const Cut& cut, int depth);

  const AddressSpace space_;
  // The last one is empty and claims nothing, so that a search may end on it.
  std::vector<IoTableEntry> entries_;
  const IoTableEntry fallback_;

  std::array<uint16_t, 256> block_of_{};
  std::vector<PortBlock> blocks_;

  std::vector<Grid> grids_;
  std::vector<Start> starts_;
};

}  // namespace libvmm::internal

#endif  // LIBVMM_DEVICES_INTERNAL_IO_TABLE_H_
