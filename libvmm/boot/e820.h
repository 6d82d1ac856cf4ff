// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_BOOT_E820_H_
#define LIBVMM_BOOT_E820_H_

#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "libvmm/base/address.h"

namespace libvmm {

// What a range of the memory map is for (ACPI specification 6.5, table 15.4,
// "Address Range Types").
enum class E820Type : uint32_t {
  kRam = 1,       // AddressRangeMemory
  kReserved = 2,  // AddressRangeReserved
  kAcpi = 3,      // AddressRangeACPI: tables, RAM once they are read
  kNvs = 4,       // AddressRangeNVS
  kUnusable = 5,  // AddressRangeUnusable
  kPersistent = 7,
};

struct E820Entry {
  GpaRange range;
  E820Type type = E820Type::kReserved;

  friend constexpr bool operator==(const E820Entry&,
                                   const E820Entry&) = default;
};

// The memory map that firmware, or a loader in its place, gives the guest's
// kernel: what INT 15h, AX=E820h returns on a PC. What no entry covers is
// neither memory nor reserved: a kernel may place devices there.
//
//   E820Map map;
//   LIBVMM_RETURN_IF_ERROR(map.Add({Gpa(0), 0x9fc00}, E820Type::kRam));
//   LIBVMM_RETURN_IF_ERROR(
//       map.Add({Gpa(0x100000), 511 << 20}, E820Type::kRam));
//
// The entries are sorted, none is empty, none overlap, and neighbours of one
// type that touch are one entry. How an entry looks in guest memory is each
// boot protocol's own.
//
// Thread-safety: thread-compatible.
// Ownership: a value.
// Errors: as Add says.
// Cost: a sorted vector.
class E820Map {
 public:
  // kInvalidArgument: the range is empty or passes the end of the 64-bit space.
  // kAlreadyExists: it overlaps an entry, of whatever type; the message names
  // both. Then nothing has changed.
  absl::Status Add(GpaRange range, E820Type type);

  // Lowest address first.
  [[nodiscard]] std::span<const E820Entry> entries() const { return entries_; }

  friend bool operator==(const E820Map&, const E820Map&) = default;

 private:
  std::vector<E820Entry> entries_;
};

}  // namespace libvmm

#endif  // LIBVMM_BOOT_E820_H_
