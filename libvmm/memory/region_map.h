// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_MEMORY_REGION_MAP_H_
#define LIBVMM_MEMORY_REGION_MAP_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "libvmm/base/address.h"
#include "libvmm/memory/dirty_bitmap.h"
#include "libvmm/memory/memory_region.h"

namespace libvmm {

// A MemoryRegion at its guest-physical address, as GuestMemory lists it.
struct PlacedRegion {
  Gpa gpa;
  MemoryRegion region;
  // The host's dirty pages; null while they are not tracked.
  std::shared_ptr<DirtyBitmap> dirty;

  [[nodiscard]] GpaRange range() const { return {gpa, region.size()}; }
};

namespace internal {

// One published state of GuestMemory: sorted regions in the layout that lookups
// want, together with the handles that keep them alive. One allocation:
//
//   RegionMap | Entry[max(count, 1)] | uint64_t first_address[count]
//
// An empty map has one entry of size zero, so that lookups need no test for it.
//
// Thread-safety: immutable, but for the count of pins, which is atomic.
class RegionMap {
 public:
  // Regions are page aligned and not empty, so every aligned word that starts
  // in one also ends in it.
  struct Entry {
    uint64_t gpa;
    uint64_t size;
    // `size`, or zero where nobody may write.
    uint64_t writable_size;
    std::byte* hva;
    // Null while writes are not tracked.
    DirtyBitmap* dirty;
  };

  struct Deleter {
    void operator()(const RegionMap* map) const;
  };
  using Ptr = std::unique_ptr<const RegionMap, Deleter>;

  // `regions` is sorted and free of overlaps.
  static Ptr Create(std::vector<PlacedRegion> regions, uint64_t generation);

  RegionMap(const RegionMap&) = delete;
  RegionMap& operator=(const RegionMap&) = delete;

  // The only entry that can hold `gpa`. Whether it does is one unsigned
  // compare: gpa - entry.gpa < entry.size, which wraps to false below the first
  // region.
  [[nodiscard]] const Entry& Find(uint64_t gpa) const noexcept {
    if (count_ <= 1) [[likely]] {
      return *table();
    }
    return table()[search_(*this, gpa)];
  }

  // The entry that starts where `entry` ends, or null.
  [[nodiscard]] const Entry* Next(const Entry& entry) const noexcept {
    const Entry* const next = &entry + 1;
    return next < table() + count_ && next->gpa == entry.gpa + entry.size
               ? next
               : nullptr;
  }

  // Lowest address first; the entry of an empty map is left out.
  [[nodiscard]] std::span<const Entry> entries() const {
    return {table(), count_};
  }
  [[nodiscard]] const std::vector<PlacedRegion>& regions() const {
    return regions_;
  }
  [[nodiscard]] uint64_t generation() const { return generation_; }

  // How many GuestMemory::Pins there are from this state on. The release pairs
  // with the acquire of pinned(): who pinned has finished with the memory.
  void Pin() const { pins_.fetch_add(1, std::memory_order_relaxed); }
  void Unpin() const { pins_.fetch_sub(1, std::memory_order_release); }
  [[nodiscard]] bool pinned() const {
    return pins_.load(std::memory_order_acquire) != 0;
  }

 private:
  RegionMap(std::vector<PlacedRegion> regions, uint64_t generation);
  ~RegionMap() = default;

  [[nodiscard]] const Entry* table() const {
    return reinterpret_cast<const Entry*>(this + 1);
  }

  // Finds the last first address that is not above `gpa`, or index zero. Which
  // function does it depends on the count of regions alone. It is straight code
  // whose steps are conditional moves: addresses that a guest picks at random
  // mispredict nothing.
  using Search = size_t (*)(const RegionMap& map, uint64_t gpa) noexcept;
  template <unsigned kRounds, bool kTwoWindows>
  static size_t SearchUnrolled(const RegionMap& map, uint64_t gpa) noexcept;
  static size_t SearchMany(const RegionMap& map, uint64_t gpa) noexcept;
  template <unsigned... kRounds>
  static Search ChooseSearch(size_t count,
                             std::integer_sequence<unsigned, kRounds...>);

  size_t count_;
  Search search_;
  const uint64_t* first_addresses_;
  // Of two overlapping windows whose size is a power of two and that together
  // are all addresses, a search takes one: the first, or that which starts
  // here.
  size_t second_window_;
  uint64_t generation_;
  std::vector<PlacedRegion> regions_;
  mutable std::atomic<uint64_t> pins_ = 0;
};

}  // namespace internal
}  // namespace libvmm

#endif  // LIBVMM_MEMORY_REGION_MAP_H_
