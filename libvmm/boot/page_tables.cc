// SPDX-License-Identifier: Apache-2.0
#include "libvmm/boot/page_tables.h"

#include <algorithm>
#include <span>

#include "absl/strings/str_cat.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/boot/page_table_entry.h"

namespace libvmm {
namespace {

// Architectural limits of 4-level paging: 48-bit linear addresses,
// sign-extended, and 52-bit physical ones.
constexpr uint64_t kGpaLimit = uint64_t{1} << 52;
constexpr uint64_t kLowHalfEnd = uint64_t{1} << 47;
constexpr uint64_t kHighHalfStart = ~(kLowHalfEnd - 1);

// Levels count as in the manuals: 4 is the root, 1 maps 4 KiB pages.
constexpr int kRootLevel = 4;

constexpr int LevelOf(PageTables::Leaf leaf) {
  return leaf == PageTables::Leaf::k4KiB   ? 1
         : leaf == PageTables::Leaf::k2MiB ? 2
                                           : 3;
}

constexpr uint64_t BytesPerEntry(int level) {
  return uint64_t{4096} << (9 * (level - 1));
}

constexpr size_t IndexAt(int level, Gva gva) {
  return (gva.value() / BytesPerEntry(level)) % 512;
}

constexpr uint64_t AddressBits(uint64_t gpa) {
  return PteFrame::Of(gpa / PageTables::kTableSize);
}

// Rights are taken from the leaf: the entries above allow everything.
constexpr uint64_t TableEntry(Gpa table) {
  return AddressBits(table.value()) | PteAccessed::kMask | PteUser::kMask |
         PteWritable::kMask | PtePresent::kMask;
}

constexpr uint64_t LeafEntry(Gpa gpa, int level, PageAccess access) {
  return AddressBits(gpa.value()) |
         PteExecuteDisable::Of(access.executable ? 0 : 1) |
         PtePageSize::Of(level > 1 ? 1 : 0) | PteDirty::Of(access.writable) |
         PteAccessed::kMask | PteUser::Of(access.user) |
         PteWritable::Of(access.writable) | PtePresent::kMask;
}

constexpr bool IsLeaf(uint64_t entry, int level) {
  return level == 1 || PtePageSize::Get(entry) != 0;
}

// True when the range lies in one of the two canonical halves.
constexpr bool IsCanonical(Gva gva, uint64_t size) {
  if (gva.value() < kLowHalfEnd) {
    return RangeFits(kLowHalfEnd, gva.value(), size);
  }
  return gva.value() >= kHighHalfStart &&
         RangeFits(uint64_t{0} - kHighHalfStart, gva.value() - kHighHalfStart,
                   size);
}

std::string Describe(const PageMapping& mapping) {
  return absl::StrCat("mapping of gva 0x", absl::Hex(mapping.gva.value()),
                      " to gpa 0x", absl::Hex(mapping.gpa.value()), ", size 0x",
                      absl::Hex(mapping.size));
}

}  // namespace

PageTables::PageTables(const Options& options)
    : space_(options.space), largest_(options.largest), tables_(1) {}

absl::StatusOr<PageTables> PageTables::Create(const Options& options) {
  const GpaRange& space = options.space;
  if (space.size < kTableSize || space.size % kTableSize != 0 ||
      !space.start.IsAligned(kTableSize) ||
      !RangeFits(kGpaLimit, space.start.value(), space.size)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "page table space at gpa 0x", absl::Hex(space.start.value()),
        ", size 0x", absl::Hex(space.size),
        " is not a positive number of 4 KiB pages below 2^52"));
  }
  return PageTables(options);
}

absl::Status PageTables::Map(const PageMapping& mapping) {
  const auto [gva, gpa, size, access] = mapping;
  if (!gva.IsAligned(kTableSize) || !gpa.IsAligned(kTableSize) ||
      size % kTableSize != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(Describe(mapping), " is not a multiple of 4 KiB"));
  }
  if (!IsCanonical(gva, size)) {
    return absl::InvalidArgumentError(
        absl::StrCat(Describe(mapping), ": gva is not canonical for 48 bits"));
  }
  if (!RangeFits(kGpaLimit, gpa.value(), size)) {
    return absl::InvalidArgumentError(
        absl::StrCat(Describe(mapping), ": gpa is above 52 bits"));
  }
  for (uint64_t done = 0; done < size;) {
    Leaf leaf = Leaf::k4KiB;
    for (const Leaf larger : {Leaf::k2MiB, Leaf::k1GiB}) {
      const uint64_t bytes = BytesPerEntry(LevelOf(larger));
      if (larger <= largest_ && (gva + done).IsAligned(bytes) &&
          (gpa + done).IsAligned(bytes) && bytes <= size - done) {
        leaf = larger;
      }
    }
    LIBVMM_RETURN_IF_ERROR(MapPage(gva + done, gpa + done, leaf, access));
    done += BytesPerEntry(LevelOf(leaf));
  }
  return absl::OkStatus();
}

absl::StatusOr<size_t> PageTables::Descend(size_t parent, size_t index,
                                           Gva gva) {
  const uint64_t entry = tables_[parent][index];
  if (PtePresent::Get(entry) != 0) {
    return PteFrame::Get(entry) - space_.start.value() / kTableSize;
  }
  if (tables_.size() == space_.size / kTableSize) {
    return absl::ResourceExhaustedError(
        absl::StrCat("page table space of ", tables_.size(),
                     " tables is full at gva 0x", absl::Hex(gva.value())));
  }
  const size_t child = tables_.size();
  tables_[parent][index] = TableEntry(space_.start + child * kTableSize);
  tables_.emplace_back();
  return child;
}

absl::Status PageTables::MapPage(Gva gva, Gpa gpa, Leaf leaf,
                                 PageAccess access) {
  const int leaf_level = LevelOf(leaf);
  size_t table = 0;
  for (int level = kRootLevel;; --level) {
    const uint64_t entry = tables_[table][IndexAt(level, gva)];
    const bool present = PtePresent::Get(entry) != 0;
    if (present && (level == leaf_level || IsLeaf(entry, level))) {
      return absl::AlreadyExistsError(
          absl::StrCat("gva 0x", absl::Hex(gva.value()), " is mapped already"));
    }
    if (level == leaf_level) {
      tables_[table][IndexAt(level, gva)] = LeafEntry(gpa, level, access);
      return absl::OkStatus();
    }
    LIBVMM_ASSIGN_OR_RETURN(table, Descend(table, IndexAt(level, gva), gva));
  }
}

std::optional<PageTables::Translation> PageTables::Translate(Gva gva) const {
  if (!IsCanonical(gva, 1)) return {};
  size_t table = 0;
  for (int level = kRootLevel;; --level) {
    const uint64_t entry = tables_[table][IndexAt(level, gva)];
    if (PtePresent::Get(entry) == 0) return {};
    if (IsLeaf(entry, level)) {
      const uint64_t offset = gva.value() % BytesPerEntry(level);
      return Translation{
          .gpa = Gpa(PteFrame::Get(entry) * kTableSize + offset),
          .access = {.writable = PteWritable::Get(entry) != 0,
                     .executable = PteExecuteDisable::Get(entry) == 0,
                     .user = PteUser::Get(entry) != 0}};
    }
    table = PteFrame::Get(entry) - space_.start.value() / kTableSize;
  }
}

absl::Status PageTables::Write(GuestMemory& memory) const {
  if (!memory.Write(root(), std::as_bytes(std::span(tables_)))) {
    return absl::OutOfRangeError(absl::StrCat(
        "page tables of ", used().size, " bytes at gpa 0x",
        absl::Hex(root().value()), " are not wholly in writable guest memory"));
  }
  return absl::OkStatus();
}

}  // namespace libvmm
