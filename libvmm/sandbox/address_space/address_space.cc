// SPDX-License-Identifier: Apache-2.0
#include "libvmm/sandbox/address_space/address_space.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/boot/page_table_entry.h"

namespace libvmm::sandbox {
namespace {

constexpr uint64_t kPageSize = AddressSpace::kPageSize;
constexpr uint64_t kPagesPerTable = 512;
// As Linux: mmap_rnd_bits of x86-64.
constexpr uint64_t kSearchPages = uint64_t{1} << 28;

// Faults take no more than their page when fewer blocks of fault-around than
// these are left: the last frames are for what is really used.
constexpr uint64_t kSpareBlocks = 4;

// A well-mixed word from a seed (the finaliser of SplitMix64).
constexpr uint64_t Mix(uint64_t seed) {
  seed += 0x9e37'79b9'7f4a'7c15;
  seed = (seed ^ seed >> 30) * 0xbf58'476d'1ce4'e5b9;
  seed = (seed ^ seed >> 27) * 0x94d0'49bb'1331'11eb;
  return seed ^ seed >> 31;
}

// Whole pages for `size` bytes; nothing for zero or when that is past 64 bits.
std::optional<uint64_t> PageBytes(uint64_t size) {
  if (size == 0 || size > ~uint64_t{0} - (kPageSize - 1)) return {};
  return (size + kPageSize - 1) & ~(kPageSize - 1);
}

UserAccess Normalized(UserAccess access) {
  access.readable = access.any();
  return access;
}

absl::Status Invalid(absl::string_view field, uint64_t value,
                     absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat(
      "address space: ", field, " 0x", absl::Hex(value), " ", why));
}

absl::Status Check(const AddressSpace::Options& options) {
  const GpaRange& managed = options.managed;
  constexpr uint64_t kGpaLimit = uint64_t{1} << 44;
  if (!managed.start.IsAligned(kPageSize)) {
    return Invalid("managed.start", managed.start.value(),
                   "is not a multiple of 4 KiB");
  }
  if (managed.size == 0 || managed.size % kPageSize != 0 ||
      !RangeFits(kGpaLimit, managed.start.value(), managed.size)) {
    return Invalid("managed.size", managed.size,
                   "is not a positive multiple of 4 KiB below 2^44");
  }
  for (const PageMapping& mapping : options.supervisor) {
    if (mapping.gva < AddressSpace::kUserEnd) {
      return Invalid("supervisor gva", mapping.gva.value(),
                     "is below the end of the user addresses");
    }
  }
  if (options.max_areas == 0) {
    return Invalid("max_areas", 0, "allows none");
  }
  if (!std::has_single_bit(options.fault_around_pages) ||
      options.fault_around_pages > kPagesPerTable) {
    return Invalid("fault_around_pages", options.fault_around_pages,
                   "is not a power of two up to 512");
  }
  if (options.guard_gap % kPageSize != 0 ||
      options.guard_gap > AddressSpace::kUserEnd.value()) {
    return Invalid("guard_gap", options.guard_gap,
                   "is not a multiple of 4 KiB among the user addresses");
  }
  if (options.stack_limit % kPageSize != 0 ||
      options.stack_limit > AddressSpace::kUserEnd.value()) {
    return Invalid("stack_limit", options.stack_limit,
                   "is not a multiple of 4 KiB among the user addresses");
  }
  return absl::OkStatus();
}

}  // namespace

bool AddressSpace::Snapshot::IsTable(Gpa page) const {
  return frames_->UseOf(page) == FrameUse::kTable;
}

AddressSpace::AddressSpace(GuestMemory& memory,
                           std::shared_ptr<const Fixed> fixed,
                           CopyOnWrite<Layout> layout,
                           CopyOnWrite<FrameAllocator> frames)
    : memory_(memory),
      fixed_(std::move(fixed)),
      layout_(std::move(layout)),
      frames_(std::move(frames)) {}

absl::StatusOr<std::unique_ptr<AddressSpace>> AddressSpace::Create(
    GuestMemory& memory, const Options& options) {
  LIBVMM_RETURN_IF_ERROR(Check(options));
  if (!memory.IsWritable(options.managed)) {
    return absl::OutOfRangeError(absl::StrCat(
        "address space: managed frames from gpa 0x",
        absl::Hex(options.managed.start.value()), ", size 0x",
        absl::Hex(options.managed.size), " are not all writable memory"));
  }
  LIBVMM_ASSIGN_OR_RETURN(PageTables tables,
                          PageTables::Create({.space = options.managed}));
  for (const PageMapping& mapping : options.supervisor) {
    LIBVMM_RETURN_IF_ERROR(tables.Map(mapping));
  }
  FrameAllocator frames(options.managed);
  if (!frames.TakeFirstTables(tables.used().size / kPageSize)) {
    return absl::InternalError("address space: tables outside their frames");
  }
  LIBVMM_RETURN_IF_ERROR(tables.Write(memory));
  const uint64_t down =
      options.layout_seed == 0 ? 0 : Mix(options.layout_seed) % kSearchPages;
  return std::unique_ptr<AddressSpace>(new AddressSpace(
      memory,
      std::make_shared<const Fixed>(
          Fixed{.options = options, .search_end = kUserEnd - down * kPageSize}),
      CopyOnWrite<Layout>(Layout{}),
      CopyOnWrite<FrameAllocator>(std::move(frames))));
}

std::unique_ptr<AddressSpace> AddressSpace::Create(GuestMemory& memory,
                                                   const Snapshot& snapshot) {
  return std::unique_ptr<AddressSpace>(new AddressSpace(
      memory, snapshot.fixed_, CopyOnWrite<Layout>(snapshot.layout_),
      CopyOnWrite<FrameAllocator>(snapshot.frames_)));
}

PageTableEditor AddressSpace::Editor() {
  last_.reset();
  return PageTableEditor(
      {.memory = memory_, .frames = frames_, .stale = stale_, .root = root()});
}

std::optional<AddressSpace::Bounds> AddressSpace::UserPages(GvaRange range) {
  const std::optional<uint64_t> size = PageBytes(range.size);
  if (!size || range.start < kUserStart ||
      !RangeFits(kUserEnd.value(), range.start.value(), *size)) {
    return {};
  }
  return Bounds{range.start, range.start + *size};
}

bool AddressSpace::Refuses(UserAccess access) const {
  return options().refuse_writable_executable && access.writable &&
         access.executable;
}

bool AddressSpace::HasRoomForAreas(size_t more) const {
  return list().size() + more <= options().max_areas;
}

uint64_t AddressSpace::available_frames() const { return frames_->available(); }

uint64_t AddressSpace::used_frames() const { return frames_->used(); }

bool AddressSpace::HasFramesFor(Bounds pages) {
  if (stale_.empty() && frames_->has_resting())
    frames_.Mutable().ReleaseFreed();
  const uint64_t available = frames_->available();
  const uint64_t count = (pages.end - pages.start) / kPageSize;
  return count <= available &&
         Editor().MissingTables(pages.start, pages.end) <= available - count;
}

// Room is kept below stacks, also below one that is still to be placed.
std::optional<Gva> AddressSpace::FindFree(uint64_t size, bool grows_down) {
  uint64_t room = 0;
  if (grows_down) {
    room = std::max(size, options().stack_limit) - size + options().guard_gap;
  }
  if (size > kUserEnd.value() || room > kUserEnd.value()) return {};
  for (const Gva highest : {fixed_->search_end, kUserEnd}) {
    const std::optional<Gva> found =
        list().FindFree({.size = size + room,
                         .lowest = kUserStart,
                         .highest = highest,
                         .stack_limit = options().stack_limit,
                         .guard_gap = options().guard_gap});
    if (found) return *found + room;
  }
  return {};
}

void AddressSpace::TakeOut(Bounds pages) {
  Editor().Clear(pages.start, pages.end);
  MutableList().Remove(pages.start, pages.end);
}

void AddressSpace::FreeTables(Bounds pages) {
  Gva start = pages.start;
  while (start < pages.end) {
    const Area* next = list().FirstEndingAbove(start);
    const Gva ceiling = next == nullptr ? kUserEnd : next->start;
    if (start < ceiling) {
      Editor().FreeTables({.floor = list().EndBelow(start),
                           .start = start,
                           .end = std::min(ceiling, pages.end),
                           .ceiling = ceiling});
    }
    if (next == nullptr) return;
    start = next->end;
  }
}

int64_t AddressSpace::Map(const MapRequest& request) {
  const std::optional<uint64_t> size = PageBytes(request.size);
  if (!size) return request.size == 0 ? -EINVAL : -ENOMEM;
  const bool fixed = request.place != Place::kAnywhere;
  Gva at = request.at;
  if (fixed) {
    if (!at.IsAligned(kPageSize)) return -EINVAL;
    if (at < kUserStart) return -EPERM;
    if (!RangeFits(kUserEnd.value(), at.value(), *size)) return -ENOMEM;
  }
  if (Refuses(request.access)) return -EACCES;
  if (!fixed) {
    at = at.AlignDown(kPageSize);
    const bool as_wished =
        UserPages({at, *size}).has_value() && list().IsFree(at, at + *size);
    if (!as_wished) {
      const std::optional<Gva> found = FindFree(*size, request.grows_down);
      if (!found) return -ENOMEM;
      at = *found;
    }
  }
  const Bounds pages{at, at + *size};
  const bool replaces = !list().IsFree(pages.start, pages.end);
  if (replaces && request.place == Place::kFixedNoReplace) return -EEXIST;
  if (!HasRoomForAreas(list().CutsAt(pages.start, pages.end) + 1)) {
    return -ENOMEM;
  }
  const bool populate = request.access.any() &&
                        (request.populate || *size <= options().eager_size);
  if (populate && !HasFramesFor(pages)) return -ENOMEM;
  if (replaces) TakeOut(pages);
  const UserAccess access = Normalized(request.access);
  MutableList().Insert({.start = pages.start,
                        .end = pages.end,
                        .access = access,
                        .grows_down = request.grows_down});
  if (populate) Editor().Fill(pages.start, pages.end, access);
  return static_cast<int64_t>(at.value());
}

int64_t AddressSpace::Unmap(GvaRange range) {
  const std::optional<Bounds> pages = UserPages(range);
  if (!pages || !range.start.IsAligned(kPageSize)) return -EINVAL;
  if (list().IsFree(pages->start, pages->end)) return 0;
  const Area* area = list().Find(pages->start);
  if (area != nullptr && area->start < pages->start && pages->end < area->end &&
      !HasRoomForAreas(1)) {
    return -ENOMEM;
  }
  TakeOut(*pages);
  FreeTables(*pages);
  return 0;
}

int64_t AddressSpace::Protect(GvaRange range, UserAccess access) {
  if (!range.start.IsAligned(kPageSize)) return -EINVAL;
  if (range.size == 0) return 0;
  const std::optional<Bounds> pages = UserPages(range);
  if (!pages) return -ENOMEM;
  if (Refuses(access)) return -EACCES;
  if (!list().IsMapped(pages->start, pages->end)) return -ENOMEM;
  if (!HasRoomForAreas(list().CutsAt(pages->start, pages->end))) {
    return -ENOMEM;
  }
  access = Normalized(access);
  MutableList().SetAccess(pages->start, pages->end, access);
  PageTableEditor editor = Editor();
  editor.ForEach(
      pages->start, pages->end, [&](const PageTableEditor::Found& found) {
        editor.Set(found.entry, MakeUserEntry({found.page.frame, access}));
      });
  return 0;
}

// Pages first, so that a lack of tables is found while all can be left as it
// was.
int64_t AddressSpace::Move(const Area& area, Bounds from, Bounds to) {
  PageTableEditor editor = Editor();
  const uint64_t kept = std::min(from.end - from.start, to.end - to.start);
  const Gva kept_end = from.start + kept;
  bool has_tables = true;
  editor.ForEach(
      from.start, kept_end, [&](const PageTableEditor::Found& found) {
        has_tables =
            has_tables &&
            editor.MakeEntry(to.start + (found.gva - from.start)).has_value();
      });
  if (!has_tables) {
    FreeTables(to);
    return -ENOMEM;
  }
  if (!list().IsFree(to.start, to.end)) TakeOut(to);
  editor.ForEach(
      from.start, kept_end, [&](const PageTableEditor::Found& found) {
        const auto entry =
            editor.MakeEntry(to.start + (found.gva - from.start));
        if (!entry) return;
        editor.Set(*entry, MakeUserEntry({found.page.frame, area.access}));
        editor.Set(found.entry, 0);
      });
  TakeOut(from);
  MutableList().Insert({.start = to.start,
                        .end = to.end,
                        .access = area.access,
                        .grows_down = area.grows_down});
  FreeTables(from);
  return static_cast<int64_t>(to.start.value());
}

int64_t AddressSpace::Remap(const RemapRequest& request) {
  const Gva start = request.from.start;
  if (!start.IsAligned(kPageSize) || (request.to_fixed && !request.may_move)) {
    return -EINVAL;
  }
  const std::optional<uint64_t> size = PageBytes(request.new_size);
  if (!size || request.from.size == 0) return -EINVAL;
  Bounds to{};
  if (request.to_fixed) {
    const std::optional<Bounds> pages = UserPages({request.to, *size});
    if (!pages || !request.to.IsAligned(kPageSize)) return -EINVAL;
    to = *pages;
  }
  const std::optional<Bounds> from = UserPages(request.from);
  if (!from) return -EFAULT;
  if (request.to_fixed && to.start < from->end && from->start < to.end) {
    return -EINVAL;
  }
  const Area* found = list().Find(start);
  if (found == nullptr || found->end < from->end) return -EFAULT;
  const Area area = *found;
  const uint64_t old_size = from->end - from->start;

  if (!request.to_fixed) {
    if (*size > kUserEnd.value()) return -ENOMEM;
    if (*size == old_size) return static_cast<int64_t>(start.value());
    if (*size < old_size) {
      const int64_t result = Unmap({start + *size, old_size - *size});
      return result == 0 ? static_cast<int64_t>(start.value()) : result;
    }
    if (area.end == from->end &&
        RangeFits(kUserEnd.value(), start.value(), *size) &&
        list().IsFree(from->end, start + *size)) {
      if (!HasRoomForAreas(1)) return -ENOMEM;
      MutableList().Insert({.start = from->end,
                            .end = start + *size,
                            .access = area.access,
                            .grows_down = area.grows_down});
      return static_cast<int64_t>(start.value());
    }
    if (!request.may_move) return -ENOMEM;
    const std::optional<Gva> free = FindFree(*size, area.grows_down);
    if (!free) return -ENOMEM;
    to = {*free, *free + *size};
  }
  if (!HasRoomForAreas(list().CutsAt(from->start, from->end) +
                       list().CutsAt(to.start, to.end) + 1)) {
    return -ENOMEM;
  }
  return Move(area, *from, to);
}

void AddressSpace::SetHeapStart(Gva start) {
  Layout& layout = layout_.Mutable();
  layout.heap_start = start;
  layout.heap_break = start;
}

Gva AddressSpace::SetBreak(Gva heap_break) {
  const Gva before = layout_->heap_break;
  if (heap_break < layout_->heap_start || heap_break > kUserEnd ||
      layout_->heap_start < kUserStart) {
    return before;
  }
  const Gva old_end = before.AlignUp(kPageSize);
  const Gva new_end = heap_break.AlignUp(kPageSize);
  if (new_end > old_end) {
    const int64_t result =
        Map({.at = old_end,
             .size = new_end - old_end,
             .place = Place::kFixedNoReplace,
             .access = {.readable = true, .writable = true}});
    if (result < 0) return before;
  } else if (new_end < old_end) {
    if (Unmap({new_end, old_end - new_end}) != 0) return before;
  }
  layout_.Mutable().heap_break = heap_break;
  return heap_break;
}

int64_t AddressSpace::CheckMapped(GvaRange range) const {
  if (!range.start.IsAligned(kPageSize)) return -EINVAL;
  if (range.size == 0) return 0;
  const std::optional<Bounds> pages = UserPages(range);
  return pages && list().IsMapped(pages->start, pages->end) ? 0 : -ENOMEM;
}

int64_t AddressSpace::Discard(GvaRange range) {
  if (!range.start.IsAligned(kPageSize)) return -EINVAL;
  if (range.size == 0) return 0;
  const std::optional<Bounds> pages = UserPages(range);
  if (!pages) return -ENOMEM;
  // Zeroes are cheaper than another fault, for the few.
  if (pages->end - pages->start <= options().eager_size) {
    Editor().ForEach(
        pages->start, pages->end, [this](const PageTableEditor::Found& found) {
          (void)memory_.Fill({found.page.frame, kPageSize}, std::byte{0});
        });
  } else {
    Editor().Clear(pages->start, pages->end);
  }
  return list().IsMapped(pages->start, pages->end) ? 0 : -ENOMEM;
}

const Area* AddressSpace::AreaFor(Gva gva) {
  const Area* area = list().FirstEndingAbove(gva);
  if (area == nullptr || area->Contains(gva)) return area;
  const Gva page = gva.AlignDown(kPageSize);
  if (!area->grows_down || page < kUserStart ||
      area->end - page > options().stack_limit) {
    return nullptr;
  }
  const Gva below = list().EndBelow(gva);
  if (below != Gva(0) && page - below < options().guard_gap) return nullptr;
  MutableList().GrowDown(area->start, page);
  return list().Find(gva);
}

PopulateResult AddressSpace::Populate(Gva gva, AccessKind kind) {
  const Area* area = AreaFor(gva);
  if (area == nullptr) return PopulateResult::kNotMapped;
  if (!Allows(area->access, kind)) return PopulateResult::kDenied;
  const Gva page = gva.AlignDown(kPageSize);
  PageTableEditor editor = Editor();
  if (const auto found =
          PageTableEditor::Find(memory_, *frames_, root(), gva)) {
    editor.Set(found->entry, MakeUserEntry({found->page.frame, area->access}));
    return PopulateResult::kDone;
  }
  if (editor.Fill(page, page + kPageSize, area->access) == page) {
    return PopulateResult::kOutOfMemory;
  }
  if (available_frames() < kSpareBlocks * options().fault_around_pages) {
    return PopulateResult::kDone;
  }
  const uint64_t around = options().fault_around_pages * kPageSize;
  const Gva block = page.AlignDown(around);
  editor.Fill(std::max(block, area->start), std::min(block + around, area->end),
              area->access);
  return PopulateResult::kDone;
}

PopulateResult AddressSpace::PopulateAny(Gva gva) {
  const Area* area = list().Find(gva);
  if (area == nullptr) return PopulateResult::kNotMapped;
  const Gva page = gva.AlignDown(kPageSize);
  return Editor().Fill(page, page + kPageSize, area->access) == page
             ? PopulateResult::kOutOfMemory
             : PopulateResult::kDone;
}

std::optional<AddressSpace::Translation> AddressSpace::Translate(
    Gva gva) const {
  if (gva < kUserStart || gva >= kUserEnd) return {};
  const auto found = PageTableEditor::Find(memory_, *frames_, root(), gva);
  if (!found) return {};
  return Translation{found->page.frame + gva.value() % kPageSize,
                     found->page.access};
}

std::optional<AddressSpace::Translation> AddressSpace::TranslateNext(Gva gva) {
  if (gva < kUserStart || gva >= kUserEnd) return {};
  const Gva start = gva.AlignDown(kPagesPerTable * kPageSize);
  const bool known = last_ && last_->start == start;
  const auto found =
      known ? PageTableEditor::FindInTable(memory_, *frames_, last_->table, gva)
            : PageTableEditor::Find(memory_, *frames_, root(), gva);
  if (!found) return {};
  if (!known) last_ = {start, found->entry.AlignDown(kPageSize)};
  return Translation{found->page.frame + gva.value() % kPageSize,
                     found->page.access};
}

std::optional<Area> AddressSpace::FindArea(Gva gva) const {
  const Area* area = list().Find(gva);
  if (area == nullptr) return {};
  return *area;
}

size_t AddressSpace::TakeStale(std::span<StaleRange> to) {
  const size_t count = stale_.Take(to);
  if (stale_.empty() && frames_->has_resting()) {
    frames_.Mutable().ReleaseFreed();
  }
  return count;
}

AddressSpace::Snapshot AddressSpace::Save() {
  Snapshot snapshot;
  snapshot.fixed_ = fixed_;
  snapshot.layout_ = layout_.Share();
  snapshot.frames_ = frames_.Share();
  return snapshot;
}

bool AddressSpace::IsTable(Gpa page) const {
  return frames_->UseOf(page) == FrameUse::kTable;
}

bool AddressSpace::RestoreTable(Gpa page, std::span<const std::byte> pristine) {
  last_.reset();
  std::array<uint64_t, kPagesPerTable> wanted;
  std::array<uint64_t, kPagesPerTable> current;
  const auto wanted_bytes = std::as_writable_bytes(std::span(wanted));
  if (!page.IsAligned(kPageSize) || pristine.size() != wanted_bytes.size() ||
      !memory_.IsWritable({page, kPageSize}) ||
      !memory_.Read(page, std::as_writable_bytes(std::span(current)))) {
    return false;
  }
  std::copy(pristine.begin(), pristine.end(), wanted_bytes.begin());
  // Only the entries of a table lead anywhere. What was a table and is none
  // now was recorded when it was freed.
  const bool is_table = IsTable(page);
  for (size_t i = 0; i < current.size(); ++i) {
    if (current[i] == wanted[i]) continue;
    const Gpa entry = page + i * sizeof(uint64_t);
    if (!memory_.Store<uint64_t>(entry, wanted[i])) return false;
    if (is_table && PtePresent::Get(current[i]) != 0) stale_.Add(entry);
  }
  return true;
}

void AddressSpace::Restore(const Snapshot& snapshot) {
  last_.reset();
  layout_.Adopt(snapshot.layout_);
  frames_.Adopt(snapshot.frames_);
}

}  // namespace libvmm::sandbox
