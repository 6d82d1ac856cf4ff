// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_SANDBOX_ADDRESS_SPACE_PAGE_TABLE_EDITOR_H_
#define LIBVMM_SANDBOX_ADDRESS_SPACE_PAGE_TABLE_EDITOR_H_

#include <cstdint>
#include <optional>

#include "absl/functional/function_ref.h"
#include "libvmm/base/address.h"
#include "libvmm/memory/guest_memory.h"
#include "libvmm/sandbox/address_space/copy_on_write.h"
#include "libvmm/sandbox/address_space/frame_allocator.h"
#include "libvmm/sandbox/address_space/stale_entries.h"
#include "libvmm/sandbox/address_space/user_access.h"

namespace libvmm::sandbox {

// An entry for a user page. A page without any right is not present.
[[nodiscard]] uint64_t MakeUserEntry(Gpa frame, UserAccess access);

// What an entry of the last level says.
struct UserPage {
  Gpa frame;
  UserAccess access;
};

// Changes to the user part of 4-level page tables in guest memory. What it
// follows it believes only as far as the allocator's record agrees: tables are
// frames that are tables, pages are frames that are pages. An entry that does
// not agree counts as missing.
//
// Thread-safety: thread-compatible.
// Ownership: made for one call; refers to everything.
// Errors: none but a lack of frames.
// Cost: four loads for each entry that is looked up, one for the next in the
//     same table.
class PageTableEditor {
 public:
  struct Parts {
    GuestMemory& memory;
    CopyOnWrite<FrameAllocator>& frames;
    StaleEntries& stale;
    Gpa root;
  };
  explicit PageTableEditor(const Parts& parts) : parts_(parts) {}

  // Frames of zeroes, or nothing.
  std::optional<Gpa> AllocateZeroed(FrameUse use);

  // The place of the last-level entry for `gva`, with tables made where they
  // are missing. Nothing when no frame is left for one.
  std::optional<Gpa> MakeEntry(Gva gva);

  // Writes an entry and records the old one if it was present.
  void Set(Gpa entry, uint64_t value);

  // Visits the last-level entries of [start, end) that are not zero.
  struct Visited {
    Gva gva;
    Gpa entry;
    UserPage page;
  };
  void ForEach(Gva start, Gva end,
               absl::FunctionRef<void(const Visited&)> visit);

  // Clears the last-level entries of [start, end) and frees their frames.
  void Clear(Gva start, Gva end);

  // Frees the tables that map some of [start, end) and nothing outside of
  // [floor, ceiling), where no page is left.
  struct Hole {
    Gva floor, start, end, ceiling;
  };
  void FreeTables(const Hole& hole);

 private:
  Parts parts_;
};

// The page of `gva`, and nothing where there is none.
struct FoundPage {
  Gpa entry;
  UserPage page;
};
[[nodiscard]] std::optional<FoundPage> FindUserPage(
    const GuestMemory& memory, const FrameAllocator& frames, Gpa root, Gva gva);

}  // namespace libvmm::sandbox

#endif  // LIBVMM_SANDBOX_ADDRESS_SPACE_PAGE_TABLE_EDITOR_H_
