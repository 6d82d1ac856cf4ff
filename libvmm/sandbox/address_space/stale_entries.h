// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_SANDBOX_ADDRESS_SPACE_STALE_ENTRIES_H_
#define LIBVMM_SANDBOX_ADDRESS_SPACE_STALE_ENTRIES_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "libvmm/base/address.h"

namespace libvmm::sandbox {

// `count` consecutive page table entries of 8 bytes, all in one table.
struct StaleRange {
  Gpa entry;
  uint64_t count = 0;

  friend constexpr bool operator==(const StaleRange&,
                                   const StaleRange&) = default;
};

// The entries of guest page tables that were present and were then changed by
// the host. What a TLB or a shadow-paging KVM derived from their old values is
// still there: KVM watches the guest's writes to its tables, not the host's. So
// before user code runs again, ring 0 writes each of these entries once more
// with the value that is in it, and then reloads CR3.
//
// Entries may be listed that did not change, never the other way round.
//
// Thread-safety: thread-compatible.
// Errors: none.
// Cost: neighbours share a range. Above kExactRanges, ranges of one table
//     become one, so there are never more than twice the tables or
//     kExactRanges.
class StaleEntries {
 public:
  static constexpr size_t kExactRanges = 128;

  // `entry` is a multiple of 8.
  void Add(Gpa entry);

  [[nodiscard]] bool empty() const { return ranges_.empty(); }
  // Ranges that Take would hand out.
  [[nodiscard]] size_t size() const { return ranges_.size(); }
  [[nodiscard]] std::span<const StaleRange> ranges() const { return ranges_; }

  // Moves as many ranges as `to` has room for; returns how many.
  size_t Take(std::span<StaleRange> to);

 private:
  void Compact();

  std::vector<StaleRange> ranges_;
  size_t compact_at_ = kExactRanges;
};

}  // namespace libvmm::sandbox

#endif  // LIBVMM_SANDBOX_ADDRESS_SPACE_STALE_ENTRIES_H_
