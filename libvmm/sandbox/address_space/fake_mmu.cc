// SPDX-License-Identifier: Apache-2.0
#include "libvmm/sandbox/address_space/fake_mmu.h"

namespace libvmm::sandbox::testing {
namespace {

// Entries that a shadow MMU looks at together.
constexpr uint64_t kBlock = 64;

}  // namespace

std::optional<Gpa> FakeMmu::Access(Gva gva, AccessKind kind) {
  const auto cached = translations_.find(gva.value() >> 12);
  std::optional<Page> page;
  if (cached != translations_.end()) page = cached->second;
  if (!page) page = Walk(gva);
  if (!page) return {};
  if (kind == AccessKind::kWrite && !page->writable) return {};
  if (kind == AccessKind::kExecute && !page->executable) return {};
  translations_[gva.value() >> 12] = *page;
  return page->gpa + (gva.value() & 0xfff);
}

std::optional<FakeMmu::Page> FakeMmu::Walk(Gva gva) {
  Page page;
  Gpa table = root_;
  for (int shift = 39;; shift -= 9) {
    const uint64_t entry = Entry(table + (gva.value() >> shift & 511) * 8);
    if ((entry & 1) == 0 || (entry & 4) == 0) return {};
    page.writable = page.writable && (entry & 2) != 0;
    page.executable = page.executable && entry >> 63 == 0;
    if ((entry & 0x20) == 0) complaint_ = "A is clear";
    if ((entry & 0x80) != 0) complaint_ = "PS is set in a user entry";
    table = Gpa(entry & 0x000f'ffff'ffff'f000);
    if (shift == 12) {
      if ((entry & 2) != 0 && (entry & 0x40) == 0) complaint_ = "D is clear";
      page.gpa = table;
      return page;
    }
  }
}

uint64_t FakeMmu::Entry(Gpa place) {
  for (uint64_t offset = 0; offset < kBlock; offset += 8) {
    const Gpa each = place.AlignDown(kBlock) + offset;
    const auto value = memory_.Load<uint64_t>(each);
    if (!value) {
      complaint_ = "table outside of memory";
      return 0;
    }
    // What it has it keeps, whatever is in memory now.
    if ((*value & 1) != 0) entries_.emplace(each.value(), *value);
  }
  const auto found = entries_.find(place.value());
  return found == entries_.end() ? 0 : found->second;
}

void FakeMmu::Rewrite(std::span<const StaleRange> ranges) {
  for (const StaleRange& range : ranges) {
    if (range.entry.value() % 8 != 0 || range.count == 0 ||
        range.entry.value() % 4096 + range.count * 8 > 4096) {
      complaint_ = "a stale range that is not in one table";
    }
    const uint64_t start = range.entry.value();
    entries_.erase(entries_.lower_bound(start),
                   entries_.lower_bound(start + range.count * 8));
  }
  if (!ranges.empty()) translations_.clear();
}

}  // namespace libvmm::sandbox::testing
