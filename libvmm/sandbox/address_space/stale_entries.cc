// SPDX-License-Identifier: Apache-2.0
#include "libvmm/sandbox/address_space/stale_entries.h"

#include <algorithm>

namespace libvmm::sandbox {
namespace {

constexpr uint64_t kEntrySize = sizeof(uint64_t);
constexpr uint64_t kTableSize = 4096;

uint64_t TableOf(Gpa entry) { return entry.value() / kTableSize; }

Gpa EndOf(const StaleRange& range) {
  return range.entry + range.count * kEntrySize;
}

}  // namespace

void StaleEntries::Add(Gpa entry) {
  if (!ranges_.empty()) {
    StaleRange& last = ranges_.back();
    if (TableOf(last.entry) == TableOf(entry)) {
      if (last.entry <= entry && entry < EndOf(last)) return;
      if (entry == EndOf(last)) {
        ++last.count;
        return;
      }
    }
  }
  if (ranges_.size() == compact_at_) Compact();
  ranges_.push_back({entry, 1});
}

size_t StaleEntries::Take(std::span<StaleRange> to) {
  const size_t count = std::min(to.size(), ranges_.size());
  const auto first = ranges_.end() - static_cast<ptrdiff_t>(count);
  std::copy(first, ranges_.end(), to.begin());
  ranges_.erase(first, ranges_.end());
  if (ranges_.empty()) compact_at_ = kExactRanges;
  return count;
}

// One range for each table. Only when half of the ranges went away is the limit
// kept, so that the sorting is paid for by the additions before it.
void StaleEntries::Compact() {
  std::sort(ranges_.begin(), ranges_.end(),
            [](const StaleRange& a, const StaleRange& b) {
              return a.entry < b.entry;
            });
  size_t kept = 0;
  for (const StaleRange& range : ranges_) {
    if (kept != 0 && TableOf(ranges_[kept - 1].entry) == TableOf(range.entry)) {
      StaleRange& last = ranges_[kept - 1];
      const Gpa end = std::max(EndOf(last), EndOf(range));
      last.count = (end - last.entry) / kEntrySize;
    } else {
      ranges_[kept++] = range;
    }
  }
  ranges_.resize(kept);
  compact_at_ = std::max(kExactRanges, 2 * kept);
}

}  // namespace libvmm::sandbox
