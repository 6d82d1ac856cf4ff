// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_SANDBOX_ADDRESS_SPACE_ADDRESS_SPACE_H_
#define LIBVMM_SANDBOX_ADDRESS_SPACE_ADDRESS_SPACE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "libvmm/base/address.h"
#include "libvmm/boot/page_tables.h"
#include "libvmm/memory/guest_memory.h"
#include "libvmm/sandbox/address_space/area.h"
#include "libvmm/sandbox/address_space/area_list.h"
#include "libvmm/sandbox/address_space/copy_on_write.h"
#include "libvmm/sandbox/address_space/frame_allocator.h"
#include "libvmm/sandbox/address_space/page_table_editor.h"
#include "libvmm/sandbox/address_space/stale_entries.h"
#include "libvmm/sandbox/address_space/user_access.h"

namespace libvmm::sandbox {

// What came of making a page usable.
enum class PopulateResult : uint8_t {
  kDone,
  kNotMapped,    // no area there
  kDenied,       // the area does not allow the access
  kOutOfMemory,  // no frame left: the sandbox's memory ceiling
};

// The user half of the address space of the one program in a sandbox: its
// areas, the frames behind them and the 4-level page tables in guest memory.
// The host edits all three while the vCPU is stopped; guest code never does.
//
//   LIBVMM_ASSIGN_OR_RETURN(
//       std::unique_ptr<AddressSpace> space,
//       AddressSpace::Create(memory, {.managed = frames, .supervisor = own}));
//   const int64_t text = space->Map({.size = 0x5000, .access = {.readable =
//       true, .executable = true}, .populate = true});
//   ...
//   switch (space->Populate(fault_address, AccessKind::kWrite)) ...
//   // Before user code runs again:
//   while (const size_t count = space->TakeStale(buffer)) ...
//
// The rule of stale entries: when an entry that was not present becomes
// present, nothing else is to be done, because no TLB and no shadow table keeps
// a missing entry. Any other change is recorded, and ring 0 must rewrite the
// entry and reload CR3 before user code runs; see StaleEntries. A frame that
// was freed is not given out again before the whole list was taken, but for
// those that Restore frees: they hold what the snapshot says.
//
// Guest code that follows the tables finds every user page with A preset, D if
// it is writable, NX unless executable. Pages of PROT_NONE are not present;
// their entries keep the frame number inverted, so that no CPU speculates with
// it. Pages are of 4 KiB.
//
// Snapshots: Save shares areas and the record of frames. The contents of memory
// and of the tables are the caller's: for a reset it goes through the pages
// that were written since, in any order,
//
//   for (Gpa page : dirty) {
//     if (space.IsTable(page) || snapshot.IsTable(page)) {
//       space.RestoreTable(page, pristine(page));
//     } else {
//       copy pristine(page) to memory;
//     }
//   }
//   space.Restore(snapshot);
//
// and then applies the stale list. Another AddressSpace over a copy of the
// memory (a clone) is made from a snapshot too.
//
// Thread-safety: thread-compatible, and the vCPU must not run during any call
//     that is not const.
// Ownership: refers to `memory`, which must outlive it. Snapshots are values of
//     their own.
// Errors: what the guest asks for has the result that a system call gives back
//     to it: zero or an address, or a Linux errno with a minus sign. Numbers in
//     these calls may be anything. A page table that was damaged by whoever
//     else writes the memory makes pages unusable, never the host.
// Cost: of each call, the pages and areas it names: missing tables are skipped,
//     so a sparse range costs what is in it. At most max_areas areas of 32
//     bytes, and two bits for each frame. The first change after Save or
//     Restore copies what it changes.
class AddressSpace {
 public:
  static constexpr uint64_t kPageSize = 4096;
  // User addresses: from 64 KiB up to 1 TiB below the end of the lower half.
  // The rest of the lower half and the upper half are the supervisor's.
  static constexpr Gva kUserStart{uint64_t{1} << 16};
  static constexpr Gva kUserEnd{(uint64_t{1} << 47) - (uint64_t{1} << 40)};

  struct Options {
    // The frames for page tables and user pages, zero all of them. Start and
    // size are multiples of 4 KiB. The page tables' root is the first frame.
    GpaRange managed{};
    // What the tables map besides, in pages of up to 2 MiB. All of it outside
    // of [0, kUserEnd).
    std::vector<PageMapping> supervisor{};
    // Most areas that there may be.
    size_t max_areas = 4096;
    // Pages around a fault that are made usable with it, in one aligned block,
    // unless memory is nearly full. A power of two up to 512; 1 for none.
    uint64_t fault_around_pages = 16;
    // Maps and growth of the heap of at most this many bytes get their frames
    // at once, or ENOMEM. For what is larger there may be more addresses than
    // memory.
    uint64_t eager_size = uint64_t{256} << 10;
    // Refuse pages that are both writable and executable, with EACCES.
    bool refuse_writable_executable = true;
    // Unmapped bytes kept below an area that grows down, and the size up to
    // which it grows. Multiples of 4 KiB.
    uint64_t guard_gap = uint64_t{1} << 20;
    uint64_t stack_limit = uint64_t{8} << 20;
    // Where the search for free addresses starts is moved down by 28 bits of
    // pages derived from it. Zero: it is kUserEnd.
    uint64_t layout_seed = 0;
  };

 private:
  // What a snapshot has of the areas.
  struct Layout {
    AreaList areas;
    Gva heap_start{};
    Gva heap_break{};
  };
  // What stays as it was made, also in clones.
  struct Fixed {
    Options options;
    Gva search_end{};
  };

 public:
  // A state to go back to, or to make clones from.
  //
  // Thread-safety: immutable; may be used by several threads at once.
  class Snapshot {
   public:
    // True when the frame at `page` held a page table.
    [[nodiscard]] bool IsTable(Gpa page) const;

   private:
    friend class AddressSpace;
    Snapshot() = default;
    std::shared_ptr<const Fixed> fixed_;
    std::shared_ptr<const Layout> layout_;
    std::shared_ptr<const FrameAllocator> frames_;
  };

  // Writes tables with the supervisor's mappings, and no user page, to the
  // first managed frames.
  //   kInvalidArgument    a field is not as its comment says
  //   kAlreadyExists      two of the supervisor's mappings overlap
  //   kResourceExhausted  the managed frames are too few for the tables
  //   kOutOfRange         some of the managed frames are not writable memory
  static absl::StatusOr<std::unique_ptr<AddressSpace>> Create(
      GuestMemory& memory, const Options& options);

  // An address space like the one that was saved, over a memory with the
  // contents that the other had then. The stale list is empty: for a VM that
  // has not run yet.
  static std::unique_ptr<AddressSpace> Create(GuestMemory& memory,
                                              const Snapshot& snapshot);

  AddressSpace(const AddressSpace&) = delete;
  AddressSpace& operator=(const AddressSpace&) = delete;

  // The value for CR3.
  [[nodiscard]] Gpa root() const { return fixed_->options.managed.start; }
  [[nodiscard]] GuestMemory& memory() const { return memory_; }

  // ---- What system calls ask for -------------------------------------------

  enum class Place : uint8_t {
    kAnywhere,        // `at` is a wish; zero for none
    kFixed,           // at `at`, instead of what is there (MAP_FIXED)
    kFixedNoReplace,  // at `at`, or EEXIST
  };
  struct MapRequest {
    Gva at{};
    uint64_t size = 0;  // bytes; rounded up to whole pages
    Place place = Place::kAnywhere;
    UserAccess access{};
    // Frames for all pages now, or ENOMEM.
    bool populate = false;
    bool grows_down = false;
  };

  // Maps zero pages (mmap). Free addresses are searched from the top down. The
  // address, or
  //   EINVAL  size zero; fixed at no multiple of 4 KiB
  //   EPERM   fixed below kUserStart
  //   ENOMEM  no room for the addresses, the area, or frames that are to be
  //           had at once
  //   EEXIST  kFixedNoReplace, and some of it is mapped
  //   EACCES  writable and executable
  // A failure changes nothing.
  int64_t Map(const MapRequest& request);

  // Unmaps what is mapped in the range (munmap). EINVAL: start unaligned, size
  // zero, or not all of it user addresses. ENOMEM: it would split an area and
  // there are max_areas.
  int64_t Unmap(GvaRange range);

  // Changes rights (mprotect). EINVAL: start unaligned. ENOMEM: some of it is
  // not mapped, or too many areas. EACCES: writable and executable. A failure
  // changes nothing.
  int64_t Protect(GvaRange range, UserAccess access);

  struct RemapRequest {
    GvaRange from;
    uint64_t new_size = 0;
    bool may_move = false;  // MREMAP_MAYMOVE
    bool to_fixed = false;  // MREMAP_FIXED: move to `to`, whatever is there
    Gva to{};
  };
  // Shrinks, grows or moves (mremap). The new address, or
  //   EINVAL  start unaligned; a size is zero; to_fixed without may_move, to no
  //           multiple of 4 KiB, outside the user addresses or onto itself
  //   EFAULT  the old range is not within one area
  //   ENOMEM  no room for addresses, areas or tables; nothing was changed
  int64_t Remap(const RemapRequest& request);

  // Where the heap begins: the loader's, once, behind the program's data. A
  // multiple of 4 KiB among the user addresses.
  void SetHeapStart(Gva start);
  // Moves the end of the heap (brk) and returns where it is then: `heap_break`,
  // or unchanged when that cannot be. It never fails.
  Gva SetBreak(Gva heap_break);
  [[nodiscard]] Gva heap_break() const { return layout_->heap_break; }

  // Makes the range read as zeroes (madvise MADV_DONTNEED), also where a file
  // was copied to. A range above eager_size gives its frames back. EINVAL: start unaligned. ENOMEM: some of
  // it is not mapped; the rest was done.
  int64_t Discard(GvaRange range);

  // 0, or ENOMEM when some of the range is not mapped, EINVAL when start is
  // unaligned: for the advice that changes nothing.
  [[nodiscard]] int64_t CheckMapped(GvaRange range) const;

  // ---- Pages ---------------------------------------------------------------

  // Makes the page at `gva` usable for `kind`: for a page fault of user code,
  // or the host's own access. A stack grows if it has to. kDone also when it
  // was usable before.
  PopulateResult Populate(Gva gva, AccessKind kind);

  // Gives the page at `gva` a frame, whatever the area's rights are: for a
  // loader.
  PopulateResult PopulateAny(Gva gva);

  struct Translation {
    Gpa gpa;
    UserAccess access;
  };
  // Where the byte at `gva` is, and what user code may do with it. Nothing when
  // it has no frame yet, or is not mapped; supervisor pages have no translation
  // here. A page of PROT_NONE has one with no rights.
  [[nodiscard]] std::optional<Translation> Translate(Gva gva) const;
  // The same at one load instead of four while `gva` stays within the same 2 MiB
  // and nothing is changed: for accesses that follow each other.
  [[nodiscard]] std::optional<Translation> TranslateNext(Gva gva);

  // The area that `gva` is in, or nothing.
  [[nodiscard]] std::optional<Area> FindArea(Gva gva) const;
  // All areas by address, until the next change.
  [[nodiscard]] std::span<const Area> areas() const {
    return layout_->areas.areas();
  }

  // Frames that are left and that are in use, tables included. Freed frames
  // that still wait for the stale list are neither.
  [[nodiscard]] uint64_t available_frames() const;
  [[nodiscard]] uint64_t used_frames() const;

  // ---- Stale entries -------------------------------------------------------

  // Moves stale ranges to `to`; returns how many. Zero when there are none. The
  // caller goes on until then, and has all of them rewritten before user code
  // runs.
  size_t TakeStale(std::span<StaleRange> to);
  [[nodiscard]] const StaleEntries& stale() const { return stale_; }

  // ---- Snapshots -----------------------------------------------------------

  Snapshot Save();

  // True when the frame at `page` holds a page table now.
  [[nodiscard]] bool IsTable(Gpa page) const;

  // Gives the table at `page`, a multiple of 4 KiB, the content `pristine`,
  // entry by entry, and records what became stale. For any page that is a table
  // now or was one in the snapshot. False when it is not writable memory or
  // `pristine` is not of 4096 bytes.
  bool RestoreTable(Gpa page, std::span<const std::byte> pristine);

  // The areas and frames of `snapshot`, which is one of this address space or
  // of the one it was made from. The stale list stays as it is. O(1).
  void Restore(const Snapshot& snapshot);

 private:
  AddressSpace(GuestMemory& memory, std::shared_ptr<const Fixed> fixed,
               CopyOnWrite<Layout> layout, CopyOnWrite<FrameAllocator> frames);

  struct Bounds {
    Gva start;
    Gva end;
  };
  // The pages of a range; nothing when its size is zero or not all of it is
  // user addresses.
  static std::optional<Bounds> UserPages(GvaRange range);

  [[nodiscard]] const Options& options() const { return fixed_->options; }
  [[nodiscard]] const AreaList& list() const { return layout_->areas; }
  AreaList& MutableList() { return layout_.Mutable().areas; }
  PageTableEditor Editor();

  [[nodiscard]] bool Refuses(UserAccess access) const;
  [[nodiscard]] bool HasRoomForAreas(size_t more) const;
  // True when all of the pages can have frames.
  [[nodiscard]] bool HasFramesFor(Bounds pages);
  [[nodiscard]] std::optional<Gva> FindFree(uint64_t size, bool grows_down);
  // Takes pages and areas out of the range; the tables stay.
  void TakeOut(Bounds pages);
  // Frees tables of the range where no area is.
  void FreeTables(Bounds pages);
  int64_t Move(const Area& area, Bounds from, Bounds to);
  // The area for a use of `gva`, after its stack has grown there; or null.
  const Area* AreaFor(Gva gva);

  GuestMemory& memory_;
  std::shared_ptr<const Fixed> fixed_;
  CopyOnWrite<Layout> layout_;
  CopyOnWrite<FrameAllocator> frames_;
  StaleEntries stale_;
  // Where TranslateNext was last. Forgotten with every change of tables.
  struct LastTable {
    Gva start{};  // what the table maps starts here
    Gpa table{};
  };
  std::optional<LastTable> last_;
};

}  // namespace libvmm::sandbox

#endif  // LIBVMM_SANDBOX_ADDRESS_SPACE_ADDRESS_SPACE_H_
