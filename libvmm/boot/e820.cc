// SPDX-License-Identifier: Apache-2.0
#include "libvmm/boot/e820.h"

#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"

namespace libvmm {
namespace {

std::string Describe(const GpaRange& range, E820Type type) {
  return absl::StrCat("type ", static_cast<uint32_t>(type), " at gpa 0x",
                      absl::Hex(range.start.value()), ", size 0x",
                      absl::Hex(range.size));
}

// True when `next` begins where `entry` ends, and is of its type. The size of
// the whole 64-bit space has no number: its two halves stay apart.
bool Continues(const E820Entry& entry, const E820Entry& next) {
  return next.type == entry.type &&
         next.range.start - entry.range.start == entry.range.size &&
         entry.range.size + next.range.size != 0;
}

}  // namespace

absl::Status E820Map::Add(GpaRange range, E820Type type) {
  if (range.size == 0 || !GpaRange::Create(range.start, range.size)) {
    return absl::InvalidArgumentError(
        absl::StrCat("E820 entry of ", Describe(range, type),
                     range.size == 0 ? " is empty"
                                     : " passes the end of the address space"));
  }
  for (const E820Entry& entry : entries_) {
    if (entry.range.Overlaps(range)) {
      return absl::AlreadyExistsError(absl::StrCat(
          "E820 entry of ", Describe(range, type), " overlaps that of ",
          Describe(entry.range, entry.type)));
    }
  }
  auto at = std::find_if(entries_.begin(), entries_.end(),
                         [&range](const E820Entry& entry) {
                           return entry.range.start > range.start;
                         });
  at = entries_.insert(at, {range, type});
  if (at + 1 != entries_.end() && Continues(*at, at[1])) {
    at->range.size += at[1].range.size;
    entries_.erase(at + 1);
  }
  if (at != entries_.begin() && Continues(at[-1], *at)) {
    at[-1].range.size += at->range.size;
    entries_.erase(at);
  }
  return absl::OkStatus();
}

}  // namespace libvmm
