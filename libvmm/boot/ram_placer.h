// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_BOOT_RAM_PLACER_H_
#define LIBVMM_BOOT_RAM_PLACER_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "libvmm/base/address.h"
#include "libvmm/boot/e820.h"

namespace libvmm {

// Finds room in a guest's RAM for what a loader puts there, so that nothing
// overlaps. It knows the memory map only, not whether there is memory.
//
// Thread-safety: thread-compatible.
// Ownership: a value.
// Errors: messages begin with `what` and name size and bounds.
// Cost: a vector of the free ranges, searched in order.
class RamPlacer {
 public:
  // Free is the map's RAM but for the first page, which is left alone: there a
  // pointer would be null.
  explicit RamPlacer(const E820Map& map);

  // Takes exactly `range`. kOutOfRange: some of it is not free RAM. An empty
  // range takes nothing.
  absl::Status Take(GpaRange range, absl::string_view what);

  struct Request {
    absl::string_view what;  // for messages: "initrd"
    uint64_t size = 0;       // bytes, not zero
    uint64_t alignment = 1;  // a power of two
    // No byte below `first` nor above `last` is taken.
    Gpa first{};
    Gpa last{};
  };
  // Takes the lowest, or highest, room there is and returns its start.
  // kResourceExhausted when there is none; kInvalidArgument for a size of zero.
  absl::StatusOr<Gpa> TakeLowest(const Request& request);
  absl::StatusOr<Gpa> TakeHighest(const Request& request);

  // `size` rounded up to pages of 4 KiB, for what shares no page with others.
  [[nodiscard]] static constexpr uint64_t WholePages(uint64_t size) {
    return (size + kPageSize - 1) / kPageSize * kPageSize;
  }

 private:
  static constexpr uint64_t kPageSize = 4096;

  void Remove(const GpaRange& range);

  std::vector<GpaRange> free_;  // sorted, none empty
};

}  // namespace libvmm

#endif  // LIBVMM_BOOT_RAM_PLACER_H_
