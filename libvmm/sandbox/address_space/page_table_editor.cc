// SPDX-License-Identifier: Apache-2.0
#include "libvmm/sandbox/address_space/page_table_editor.h"

#include <algorithm>

#include "libvmm/boot/page_table_entry.h"

namespace libvmm::sandbox {
namespace {

// Levels count as in the manuals: 4 is the root, 1 maps pages.
constexpr int kRootLevel = 4;
constexpr uint64_t kEntries = 512;
constexpr uint64_t kEntrySize = sizeof(uint64_t);

constexpr uint64_t BytesPerEntry(int level) {
  return PageTableEditor::kPageSize << (9 * (level - 1));
}

constexpr uint64_t IndexAt(int level, Gva gva) {
  return gva.value() / BytesPerEntry(level) % kEntries;
}

constexpr Gpa EntryAt(Gpa table, uint64_t index) {
  return table + index * kEntrySize;
}

// Rights are those of the last level: the entries above allow everything.
constexpr uint64_t TableEntry(Gpa table) {
  return PteFrame::Of(table.value() / PageTableEditor::kTableSize) |
         PteAccessed::kMask | PteUser::kMask | PteWritable::kMask |
         PtePresent::kMask;
}

constexpr Gpa FrameOf(uint64_t entry) {
  return Gpa(PteFrame::Get(entry) * PageTableEditor::kPageSize);
}

// The table that `entry`, of level 2 or above, leads to.
std::optional<Gpa> TableBelow(const FrameAllocator& frames, uint64_t entry) {
  if (PtePresent::Get(entry) == 0 || PtePageSize::Get(entry) != 0) return {};
  const Gpa table = FrameOf(entry);
  if (frames.UseOf(table) != FrameUse::kTable) return {};
  return table;
}

// The page that `entry`, of level 1, is for.
std::optional<UserPage> PageOf(const FrameAllocator& frames, uint64_t entry) {
  UserPage page;
  if (PtePresent::Get(entry) != 0) {
    page = {.frame = FrameOf(entry),
            .access = {.readable = true,
                       .writable = PteWritable::Get(entry) != 0,
                       .executable = PteExecuteDisable::Get(entry) == 0}};
  } else if (entry != 0) {
    page.frame = FrameOf(~entry);
  } else {
    return {};
  }
  if (frames.UseOf(page.frame) != FrameUse::kPage) return {};
  return page;
}

}  // namespace

uint64_t MakeUserEntry(const UserPage& page) {
  const uint64_t number = page.frame.value() / PageTableEditor::kPageSize;
  const UserAccess& access = page.access;
  if (!access.any()) return PteFrame::Of(~number);
  return PteFrame::Of(number) |
         PteExecuteDisable::Of(access.executable ? 0 : 1) |
         PteDirty::Of(access.writable ? 1 : 0) | PteAccessed::kMask |
         PteUser::kMask | PteWritable::Of(access.writable ? 1 : 0) |
         PtePresent::kMask;
}

std::optional<PageTableEditor::Found> PageTableEditor::Find(
    const GuestMemory& memory, const FrameAllocator& frames, Gpa root,
    Gva gva) {
  Gpa table = root;
  for (int level = kRootLevel; level > 1; --level) {
    const std::optional<uint64_t> entry =
        memory.Load<uint64_t>(EntryAt(table, IndexAt(level, gva)));
    if (!entry) return {};
    const std::optional<Gpa> below = TableBelow(frames, *entry);
    if (!below) return {};
    table = *below;
  }
  return FindInTable(memory, frames, table, gva);
}

std::optional<PageTableEditor::Found> PageTableEditor::FindInTable(
    const GuestMemory& memory, const FrameAllocator& frames, Gpa table,
    Gva gva) {
  const Gpa place = EntryAt(table, IndexAt(1, gva));
  const std::optional<uint64_t> entry = memory.Load<uint64_t>(place);
  if (!entry) return {};
  const std::optional<UserPage> page = PageOf(frames, *entry);
  if (!page) return {};
  return Found{gva.AlignDown(kPageSize), place, *page};
}

void PageTableEditor::ForEach(Gva start, Gva end,
                              absl::FunctionRef<void(const Found&)> visit) {
  Walk walk{.start = start,
            .end = end,
            .visit = visit,
            .tables_left = parts_.frames->used()};
  if (start < end) Visit(parts_.root, kRootLevel, Gva(0), walk);
}

void PageTableEditor::Visit(Gpa table, int level, Gva base, Walk& walk) {
  if (walk.tables_left == 0) return;
  --walk.tables_left;
  const uint64_t step = BytesPerEntry(level);
  const Gva start = std::max(base, walk.start.AlignDown(step));
  const Gva end = std::min(base + kEntries * step, walk.end);
  for (Gva gva = start; gva < end; gva = gva + step) {
    const Gpa place = EntryAt(table, IndexAt(level, gva));
    const uint64_t entry = parts_.memory.Load<uint64_t>(place).value_or(0);
    if (entry == 0) continue;
    if (level > 1) {
      const std::optional<Gpa> below = TableBelow(*parts_.frames, entry);
      if (below) Visit(*below, level - 1, gva, walk);
    } else if (const auto page = PageOf(*parts_.frames, entry)) {
      walk.visit({gva, place, *page});
    }
  }
}

uint64_t PageTableEditor::MissingTables(Gva start, Gva end) const {
  return start < end ? Missing(parts_.root, kRootLevel, start, end) : 0;
}

// Tables missing below `table`, which itself is missing if it is nothing.
uint64_t PageTableEditor::Missing(std::optional<Gpa> table, int level,
                                  Gva start, Gva end) const {
  if (level == 1) return 0;
  const uint64_t step = BytesPerEntry(level);
  uint64_t missing = 0;
  for (Gva gva = start; gva < end; gva = gva.AlignDown(step) + step) {
    std::optional<Gpa> below;
    if (table) {
      below = TableBelow(
          *parts_.frames,
          parts_.memory.Load<uint64_t>(EntryAt(*table, IndexAt(level, gva)))
              .value_or(0));
    }
    if (!below) ++missing;
    missing += Missing(below, level - 1, gva,
                       std::min(end, gva.AlignDown(step) + step));
  }
  return missing;
}

std::optional<Gpa> PageTableEditor::AllocateZeroed(FrameUse use) {
  // What rests does so for the sake of translations that somebody may still
  // have.
  if (parts_.stale.empty() && parts_.frames->has_resting()) {
    parts_.frames.Mutable().ReleaseFreed();
  }
  if (parts_.frames->available() == 0) return {};
  const auto frame = parts_.frames.Mutable().Allocate(use);
  if (!frame) return {};
  if (!frame->fresh &&
      !parts_.memory.Fill({frame->gpa, kPageSize}, std::byte{0})) {
    return {};
  }
  return frame->gpa;
}

std::optional<Gpa> PageTableEditor::MakeEntry(Gva gva) {
  Gpa table = parts_.root;
  for (int level = kRootLevel;; --level) {
    const Gpa place = EntryAt(table, IndexAt(level, gva));
    if (level == 1) return place;
    const uint64_t entry = parts_.memory.Load<uint64_t>(place).value_or(0);
    std::optional<Gpa> below = TableBelow(*parts_.frames, entry);
    if (!below) {
      below = AllocateZeroed(FrameUse::kTable);
      if (!below) return {};
      Set(place, TableEntry(*below));
    }
    table = *below;
  }
}

void PageTableEditor::Set(Gpa entry, uint64_t value) {
  const uint64_t before = parts_.memory.Load<uint64_t>(entry).value_or(0);
  if (before == value || !parts_.memory.Store<uint64_t>(entry, value)) return;
  if (PtePresent::Get(before) != 0) parts_.stale.Add(entry);
}

Gva PageTableEditor::Fill(Gva start, Gva end, UserAccess access) {
  std::optional<Gpa> place;
  for (Gva gva = start; gva < end; gva = gva + kPageSize) {
    if (!place || IndexAt(1, gva) == 0) {
      place = MakeEntry(gva);
      if (!place) return gva;
    }
    const uint64_t entry = parts_.memory.Load<uint64_t>(*place).value_or(0);
    if (!PageOf(*parts_.frames, entry)) {
      const std::optional<Gpa> frame = AllocateZeroed(FrameUse::kPage);
      if (!frame) return gva;
      Set(*place, MakeUserEntry({*frame, access}));
    }
    *place = *place + kEntrySize;
  }
  return end;
}

void PageTableEditor::Clear(Gva start, Gva end) {
  ForEach(start, end, [this](const Found& found) {
    Set(found.entry, 0);
    parts_.frames.Mutable().Free(found.page.frame);
  });
}

void PageTableEditor::FreeTables(const Hole& hole) {
  if (hole.start < hole.end) Prune(parts_.root, kRootLevel, Gva(0), hole);
}

// Frees tables below `table`.
void PageTableEditor::Prune(Gpa table, int level, Gva base, const Hole& hole) {
  if (level == 1) return;
  const uint64_t step = BytesPerEntry(level);
  const Gva start = std::max(base, hole.start.AlignDown(step));
  const Gva end = std::min(base + kEntries * step, hole.end);
  for (Gva gva = start; gva < end; gva = gva + step) {
    const Gpa place = EntryAt(table, IndexAt(level, gva));
    const std::optional<Gpa> below = TableBelow(
        *parts_.frames, parts_.memory.Load<uint64_t>(place).value_or(0));
    if (!below) continue;
    const Gva next = gva + step;
    if (hole.floor <= gva && next <= hole.ceiling) {
      // Nothing of it stays.
      Prune(*below, level - 1, gva, {gva, gva, next, next});
      Set(place, 0);
      parts_.frames.Mutable().Free(*below);
    } else {
      Prune(*below, level - 1, gva, hole);
    }
  }
}

}  // namespace libvmm::sandbox
