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

// What an entry of the last level says about a user page.
struct UserPage {
  Gpa frame;
  // As the CPU sees it: a page with any right can be read.
  UserAccess access{};
};

// That entry. Without any right the page is not present, and the frame number
// stands there inverted: CPUs may follow a missing entry speculatively (L1TF),
// and no memory is at the inverted address.
[[nodiscard]] uint64_t MakeUserEntry(const UserPage& page);

// Reads and changes the user part of 4-level page tables in guest memory. It
// believes what it reads only where the allocator's record agrees: a table is
// in a frame that holds a table, a page in one that holds a page. Other entries
// count as missing, and are replaced. So damaged tables lead nowhere else, and
// as no walk visits more tables than there are, they take no more time either.
//
// Thread-safety: thread-compatible.
// Ownership: refers to the parts; made for one call.
// Errors: none but a lack of frames.
// Cost: four loads for an address; a walk over a range adds one for each entry
//     of the tables that are there.
class PageTableEditor {
 public:
  static constexpr uint64_t kPageSize = 4096;
  static constexpr uint64_t kTableSize = 4096;

  struct Parts {
    GuestMemory& memory;
    CopyOnWrite<FrameAllocator>& frames;
    StaleEntries& stale;
    Gpa root;
  };
  explicit PageTableEditor(const Parts& parts) : parts_(parts) {}

  // An entry of the last level that says something.
  struct Found {
    Gva gva;
    Gpa entry;
    UserPage page;
  };
  [[nodiscard]] static std::optional<Found> Find(const GuestMemory& memory,
                                                 const FrameAllocator& frames,
                                                 Gpa root, Gva gva);
  // The same in the last-level table that an earlier Find led to, which is a
  // table still.
  [[nodiscard]] static std::optional<Found> FindInTable(
      const GuestMemory& memory, const FrameAllocator& frames, Gpa table,
      Gva gva);

  // Visits those of [start, end), lowest first. `visit` may change the entry,
  // and entries and tables elsewhere.
  void ForEach(Gva start, Gva end, absl::FunctionRef<void(const Found&)> visit);

  // How many tables [start, end) lacks.
  [[nodiscard]] uint64_t MissingTables(Gva start, Gva end) const;

  // Where the last-level entry for `gva` is, with tables made as needed.
  // Nothing when no frame is left for one.
  std::optional<Gpa> MakeEntry(Gva gva);

  // Writes an entry, and records it as stale if it was present.
  void Set(Gpa entry, uint64_t value);

  // Gives each page of [start, end) that has none a frame of zeroes. Returns
  // where it ended for lack of frames, or `end`.
  Gva Fill(Gva start, Gva end, UserAccess access);

  // Clears the entries of [start, end) and frees their frames.
  void Clear(Gva start, Gva end);

  // Frees the tables that map some of [start, end), and nothing outside of
  // [floor, ceiling), where no page is left.
  struct Hole {
    Gva floor, start, end, ceiling;
  };
  void FreeTables(const Hole& hole);

 private:
  struct Walk {
    Gva start, end;
    absl::FunctionRef<void(const Found&)> visit;
    uint64_t tables_left;
  };

  std::optional<Gpa> AllocateZeroed(FrameUse use);
  void Visit(Gpa table, int level, Gva base, Walk& walk);
  uint64_t Missing(std::optional<Gpa> table, int level, Gva start,
                   Gva end) const;
  void Prune(Gpa table, int level, Gva base, const Hole& hole);

  Parts parts_;
};

}  // namespace libvmm::sandbox

#endif  // LIBVMM_SANDBOX_ADDRESS_SPACE_PAGE_TABLE_EDITOR_H_
