// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_TESTING_LOAD_ARENA_H_
#define LIBVMM_TESTING_LOAD_ARENA_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <vector>

#include "libvmm/base/address.h"
#include "libvmm/boot/e820.h"
#include "libvmm/memory/guest_memory.h"
#include "libvmm/memory/memory_region.h"

namespace libvmm::testing {

// Small guest memory for fuzzing loaders: 128 KiB at 0 and at 1 MiB, of which
// the map declares all but the last page of each to be RAM, filled with one
// byte so that every write shows. Aborts when it cannot be made.
//
// Thread-safety: thread-compatible.
class LoadArena {
 public:
  static constexpr uint64_t kPage = 4096;
  static constexpr uint64_t kAreaSize = 32 * kPage;
  static constexpr uint64_t kAreas[] = {0, uint64_t{1} << 20};
  static constexpr std::byte kCanary{0xc5};

  LoadArena() {
    for (const uint64_t start : kAreas) {
      regions_.push_back(*MemoryRegion::Anonymous({.size = kAreaSize}));
      (void)memory_->Add(Gpa(start), regions_.back());
      (void)map_.Add({Gpa(start), kAreaSize - kPage}, E820Type::kRam);
    }
    Reset();
  }

  [[nodiscard]] GuestMemory& memory() { return *memory_; }
  [[nodiscard]] const E820Map& map() const { return map_; }

  // Fills all of it with the canary.
  void Reset() {
    for (const MemoryRegion& region : regions_) {
      std::memset(region.data(), static_cast<int>(kCanary), kAreaSize);
    }
  }

  // True when the ranges lie in RAM but for the first page and share no byte.
  // Empty ones may be anywhere.
  [[nodiscard]] bool WellPlaced(std::span<const GpaRange> ranges) const {
    for (size_t i = 0; i < ranges.size(); ++i) {
      if (ranges[i].size == 0) continue;
      if (ranges[i].start < Gpa(kPage)) return false;
      if (std::none_of(map_.entries().begin(), map_.entries().end(),
                       [&](const E820Entry& entry) {
                         return entry.range.Contains(ranges[i].start,
                                                     ranges[i].size);
                       })) {
        return false;
      }
      for (size_t j = 0; j < i; ++j) {
        if (ranges[i].Overlaps(ranges[j])) return false;
      }
    }
    return true;
  }

  // True when only bytes in `ranges` were written. Forgets what is in them.
  [[nodiscard]] bool UntouchedBut(std::span<const GpaRange> ranges) {
    for (const GpaRange& range : ranges) Forget(range);
    const std::vector<std::byte> untouched(kAreaSize, kCanary);
    return std::all_of(
        regions_.begin(), regions_.end(), [&](const MemoryRegion& region) {
          return std::memcmp(region.data(), untouched.data(), kAreaSize) == 0;
        });
  }

  // True when `bytes` stand at `gpa`.
  [[nodiscard]] bool Holds(Gpa gpa, std::span<const std::byte> bytes) const {
    std::vector<std::byte> found(bytes.size());
    return memory_->Read(gpa, found) &&
           std::equal(found.begin(), found.end(), bytes.begin());
  }

 private:
  // A range may begin in one area and end in the other.
  void Forget(const GpaRange& range) {
    for (const uint64_t area : kAreas) {
      const uint64_t first = std::max(area, range.start.value());
      const uint64_t end =
          std::min(area + kAreaSize, range.start.value() + range.size);
      if (first < end) {
        (void)memory_->Fill({Gpa(first), end - first}, kCanary);
      }
    }
  }

  std::unique_ptr<GuestMemory> memory_ = GuestMemory::Create();
  std::vector<MemoryRegion> regions_;
  E820Map map_;
};

}  // namespace libvmm::testing

#endif  // LIBVMM_TESTING_LOAD_ARENA_H_
