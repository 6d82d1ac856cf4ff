// SPDX-License-Identifier: Apache-2.0
#include "libvmm/sandbox/address_space/area_list.h"

#include <algorithm>

namespace libvmm::sandbox {
namespace {

ptrdiff_t Offset(size_t index) { return static_cast<ptrdiff_t>(index); }

bool CanMerge(const Area& low, const Area& high) {
  return low.end == high.start && low.access == high.access &&
         low.grows_down == high.grows_down;
}

// The lowest address that an area keeps for itself.
Gva LowestOf(const Area& area, const AreaList::Search& search) {
  if (!area.grows_down) return area.start;
  const uint64_t reach =
      std::max(search.stack_limit, area.size()) + search.guard_gap;
  return area.end.value() > reach ? area.end - reach : Gva(0);
}

}  // namespace

size_t AreaList::IndexAbove(Gva gva) const {
  const auto found =
      std::partition_point(areas_.begin(), areas_.end(),
                           [gva](const Area& area) { return area.end <= gva; });
  return static_cast<size_t>(found - areas_.begin());
}

const Area* AreaList::FirstEndingAbove(Gva gva) const {
  const size_t index = IndexAbove(gva);
  return index == areas_.size() ? nullptr : &areas_[index];
}

const Area* AreaList::Find(Gva gva) const {
  const Area* area = FirstEndingAbove(gva);
  return area != nullptr && area->start <= gva ? area : nullptr;
}

Gva AreaList::EndBelow(Gva gva) const {
  const size_t index = IndexAbove(gva);
  return index == 0 ? Gva(0) : areas_[index - 1].end;
}

bool AreaList::IsFree(Gva start, Gva end) const {
  const Area* area = FirstEndingAbove(start);
  return area == nullptr || area->start >= end;
}

bool AreaList::IsMapped(Gva start, Gva end) const {
  for (size_t i = IndexAbove(start); start < end; ++i) {
    if (i == areas_.size() || areas_[i].start > start) return false;
    start = areas_[i].end;
  }
  return true;
}

size_t AreaList::CutsAt(Gva start, Gva end) const {
  const auto cuts = [this](Gva gva) {
    const Area* area = Find(gva);
    return area != nullptr && area->start != gva ? size_t{1} : size_t{0};
  };
  return cuts(start) + cuts(end);
}

// Makes `gva` a border between areas if it is inside one. Returns the index of
// the first area behind it.
size_t AreaList::SplitAt(Gva gva) {
  const size_t index = IndexAbove(gva);
  if (index == areas_.size() || areas_[index].start >= gva) return index;
  Area low = areas_[index];
  low.end = gva;
  areas_[index].start = gva;
  areas_.insert(areas_.begin() + Offset(index), low);
  return index + 1;
}

// Makes one of neighbours that are alike, among the areas from `first` - 1 to
// `last`.
void AreaList::Merge(size_t first, size_t last) {
  first = first == 0 ? 0 : first - 1;
  last = std::min(last + 1, areas_.size());
  if (first >= last) return;
  size_t kept = first;
  for (size_t i = first + 1; i < last; ++i) {
    if (CanMerge(areas_[kept], areas_[i])) {
      areas_[kept].end = areas_[i].end;
    } else {
      areas_[++kept] = areas_[i];
    }
  }
  areas_.erase(areas_.begin() + Offset(kept + 1),
               areas_.begin() + Offset(last));
}

void AreaList::Remove(Gva start, Gva end) {
  const size_t first = SplitAt(start);
  const size_t last = SplitAt(end);
  areas_.erase(areas_.begin() + Offset(first), areas_.begin() + Offset(last));
}

void AreaList::Insert(const Area& area) {
  const size_t index = IndexAbove(area.start);
  areas_.insert(areas_.begin() + Offset(index), area);
  Merge(index, index + 1);
}

void AreaList::SetAccess(Gva start, Gva end, UserAccess access) {
  const size_t first = SplitAt(start);
  const size_t last = SplitAt(end);
  for (size_t i = first; i < last; ++i) areas_[i].access = access;
  Merge(first, last);
}

void AreaList::GrowDown(Gva start, Gva new_start) {
  const size_t index = IndexAbove(start);
  areas_[index].start = new_start;
}

std::optional<Gva> AreaList::FindFree(const Search& search) const {
  Gva end = search.highest;
  for (size_t i = areas_.size(); i-- != 0;) {
    const Area& area = areas_[i];
    if (area.end < end && end - area.end >= search.size) break;
    end = std::min(end, LowestOf(area, search));
  }
  if (end < search.lowest || end - search.lowest < search.size) return {};
  return end - search.size;
}

}  // namespace libvmm::sandbox
