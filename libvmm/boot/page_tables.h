// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_BOOT_PAGE_TABLES_H_
#define LIBVMM_BOOT_PAGE_TABLES_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "libvmm/base/address.h"
#include "libvmm/memory/guest_memory.h"

namespace libvmm {

// What guest code may do with a page, besides reading it: on x86 a mapped page
// is always readable.
struct PageAccess {
  bool writable = false;
  bool executable = false;
  bool user = false;  // reachable from privilege level 3

  friend constexpr bool operator==(const PageAccess&,
                                   const PageAccess&) = default;
};

// `size` bytes from `gva` on, shown to the guest from `gpa` on. All three are
// multiples of 4 KiB.
struct PageMapping {
  Gva gva{};
  Gpa gpa{};
  uint64_t size = 0;
  PageAccess access{};
};

// A mapping that leaves addresses as they are.
[[nodiscard]] constexpr PageMapping IdentityMapping(GpaRange range,
                                                    PageAccess access) {
  return {Gva(range.start.value()), range.start, range.size, access};
}

// Builder of 4-level x86-64 page tables (Intel SDM volume 3, chapter 4.5; AMD
// APM volume 2, chapter 5.3). The tables are put together on the host and
// copied to guest memory in one piece by Write.
//
//   const GpaRange space{Gpa(0x1000), 0x8000};
//   LIBVMM_ASSIGN_OR_RETURN(PageTables tables,
//                           PageTables::Create({.space = space}));
//   LIBVMM_RETURN_IF_ERROR(
//       tables.Map(IdentityMapping(ram, {.writable = true})));
//   LIBVMM_RETURN_IF_ERROR(tables.Write(memory));
//   sregs.cr3 = tables.root().value();
//
// Each Map uses the largest pages that alignment allows. Accessed and dirty
// bits are preset, so that the guest's walks do not write to the tables. Pages
// that are not executable carry the NX bit: EFER.NXE must be on.
//
// Thread-safety: thread-compatible.
// Ownership: a value; independent of guest memory but for the call of Write.
// Errors: as each call says. After a failed Map only destruction is left.
// Cost: 4 KiB of heap per table in use.
class PageTables {
 public:
  static constexpr uint64_t kTableSize = 4096;

  enum class Leaf { k4KiB, k2MiB, k1GiB };

  struct Options {
    // Where the tables will stand; start and size are multiples of 4 KiB. The
    // root is the first table. A mapping of up to 1 GiB in 2 MiB pages needs
    // three tables, and one more for each 2 MiB that is split into 4 KiB pages.
    GpaRange space{};
    // No page larger than this. 1 GiB pages need CPUID 8000_0001h EDX bit 26.
    Leaf largest = Leaf::k2MiB;
  };

  // kInvalidArgument: the space is empty, unaligned, or above 52 bits.
  static absl::StatusOr<PageTables> Create(const Options& options);

  // Adds a mapping. An empty one adds nothing.
  //   kInvalidArgument    unaligned; gva not canonical for 48 bits; gpa above
  //                       52 bits; either passes the end of its space
  //   kAlreadyExists      a page of the range is mapped
  //   kResourceExhausted  the space has no room for another table
  absl::Status Map(const PageMapping& mapping);

  struct Translation {
    Gpa gpa;
    PageAccess access;
  };
  // What the CPU would find for `gva`; nothing when it is not mapped.
  [[nodiscard]] std::optional<Translation> Translate(Gva gva) const;

  // The value for CR3.
  [[nodiscard]] Gpa root() const { return space_.start; }
  // The part of the space in use so far: whole tables from its start.
  [[nodiscard]] GpaRange used() const {
    return {space_.start, tables_.size() * kTableSize};
  }

  // Copies the tables to their place. All or nothing; kOutOfRange when some of
  // used() is not writable guest memory.
  absl::Status Write(GuestMemory& memory) const;

 private:
  using Table = std::array<uint64_t, 512>;

  explicit PageTables(const Options& options);

  // Index in tables_ of the table below entry `index` of tables_[parent], made
  // if it is not there.
  absl::StatusOr<size_t> Descend(size_t parent, size_t index, Gva gva);
  absl::Status MapPage(Gva gva, Gpa gpa, Leaf leaf, PageAccess access);

  GpaRange space_;
  Leaf largest_;
  std::vector<Table> tables_;
};

}  // namespace libvmm

#endif  // LIBVMM_BOOT_PAGE_TABLES_H_
