// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_SANDBOX_ADDRESS_SPACE_AREA_LIST_H_
#define LIBVMM_SANDBOX_ADDRESS_SPACE_AREA_LIST_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "libvmm/base/address.h"
#include "libvmm/sandbox/address_space/area.h"
#include "libvmm/sandbox/address_space/user_access.h"

namespace libvmm::sandbox {

// Areas by address, none empty, none overlapping. It knows nothing of pages.
// All addresses given to it are multiples of 4 KiB with start <= end.
//
// Thread-safety: thread-compatible.
// Ownership: a value.
// Errors: none; what it is asked to do has been checked.
// Cost: a lookup is a binary search, a change moves the areas behind it.
class AreaList {
 public:
  [[nodiscard]] std::span<const Area> areas() const { return areas_; }
  [[nodiscard]] size_t size() const { return areas_.size(); }

  // The area that `gva` is in, or null. Valid until the next change.
  [[nodiscard]] const Area* Find(Gva gva) const;
  // The first area that ends above `gva`, or null: `gva` may be in it or below.
  [[nodiscard]] const Area* FirstEndingAbove(Gva gva) const;
  // Where the area before `gva` ends, or zero. `gva` is in none.
  [[nodiscard]] Gva EndBelow(Gva gva) const;

  [[nodiscard]] bool IsFree(Gva start, Gva end) const;
  // True when no address of the range is free.
  [[nodiscard]] bool IsMapped(Gva start, Gva end) const;
  // How many of the two ends are inside an area: how many areas more there are
  // when it is cut there.
  [[nodiscard]] size_t CutsAt(Gva start, Gva end) const;

  // Takes out the range.
  void Remove(Gva start, Gva end);
  // Adds an area at free addresses; it becomes one with neighbours like it.
  void Insert(const Area& area);
  void SetAccess(Gva start, Gva end, UserAccess access);
  // The area that starts at `start` starts at `new_start` from now on. The
  // addresses between are free.
  void GrowDown(Gva start, Gva new_start);

  struct Search {
    uint64_t size = 0;
    Gva lowest{};
    // The end of what is searched.
    Gva highest{};
    // An area that grows down reaches this far below its end, and below its
    // start.
    uint64_t stack_limit = 0;
    uint64_t guard_gap = 0;
  };
  // The highest free range.
  [[nodiscard]] std::optional<Gva> FindFree(const Search& search) const;

 private:
  // Index of the first area that ends above `gva`.
  [[nodiscard]] size_t IndexAbove(Gva gva) const;
  size_t SplitAt(Gva gva);
  void Merge(size_t first, size_t last);

  std::vector<Area> areas_;
};

}  // namespace libvmm::sandbox

#endif  // LIBVMM_SANDBOX_ADDRESS_SPACE_AREA_LIST_H_
