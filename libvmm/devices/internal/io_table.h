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
// of a power of two bytes, about two for each entry, each naming the first of
// at most two entries that it touches. A bucket that touches more is cut in the
// same way, and so on: once for ranges spread evenly, twice for a PC's two PCI
// windows.
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
  // is buckets_[first + i]: an entry's index, or with kIsGrid that of a grid.
  struct Grid {
    uint64_t origin = 0;
    uint32_t first = 0;
    uint32_t count = 0;
    uint32_t shift = 0;
  };
  static constexpr uint32_t kIsGrid = uint32_t{1} << 31;
  // Addresses [from, to], which the entries [begin, end) cover in part.
  struct Cut {
    size_t begin;
    size_t end;
    uint64_t from;
    uint64_t to;
  };

  // The only entry that may claim `address`; perhaps it does not.
  [[nodiscard]] const IoTableEntry* FindPort(uint64_t address) const {
    if (address > kLastPort) [[unlikely]]
      return &entries_.back();
    const PortBlock& block = blocks_[block_of_[address / kBlockPorts]];
    return &entries_[block[address % kBlockPorts]];
  }
  [[nodiscard]] const IoTableEntry* FindMemory(uint64_t address) const {
    uint32_t bucket = kIsGrid;  // Of grid 0.
    do {
      const Grid& grid = grids_[bucket & ~kIsGrid];
      const uint64_t index = (address - grid.origin) >> grid.shift;
      if (index >= grid.count) return &entries_.back();
      bucket = buckets_[grid.first + index];
    } while ((bucket & kIsGrid) != 0);
    const IoTableEntry* const entry = &entries_[bucket];
    // One of two. Selected, not jumped to: which one is the guest's choice.
    return entry + (entry->last() < address ? 1 : 0);
  }

  void IndexPorts();
  void IndexMemory();
  // Cuts `cut` into buckets, and those that are crowded again. The grid's
  // index.
  uint32_t AddGrid(const Cut& cut);

  const AddressSpace space_;
  // The last one is empty and claims nothing: the answer when there is none.
  std::vector<IoTableEntry> entries_;
  const IoTableEntry fallback_;

  std::array<uint16_t, 256> block_of_{};
  std::vector<PortBlock> blocks_;

  std::vector<Grid> grids_;
  std::vector<uint32_t> buckets_;
};

}  // namespace libvmm::internal

#endif  // LIBVMM_DEVICES_INTERNAL_IO_TABLE_H_
