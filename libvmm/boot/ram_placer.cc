// SPDX-License-Identifier: Apache-2.0
#include "libvmm/boot/ram_placer.h"

#include <algorithm>
#include <optional>

#include "absl/strings/str_cat.h"
#include "libvmm/base/status_macros.h"

namespace libvmm {
namespace {

Gpa LastByte(const GpaRange& range) { return range.start + (range.size - 1); }

// The part of `range` from request.first to request.last; nothing when empty.
std::optional<GpaRange> Window(const GpaRange& range,
                               const RamPlacer::Request& request) {
  const Gpa first = std::max(range.start, request.first);
  const Gpa last = std::min(LastByte(range), request.last);
  // The size is not zero, as no range is the whole space: the first page is
  // never free.
  if (first > last) return {};
  return GpaRange{first, last - first + 1};
}

absl::Status CheckRequest(const RamPlacer::Request& request) {
  if (request.size != 0) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(request.what, " to be placed is empty"));
}

absl::Status NoRoom(const RamPlacer::Request& request) {
  return absl::ResourceExhaustedError(absl::StrCat(
      request.what, ": no room for ", request.size, " bytes, aligned to 0x",
      absl::Hex(request.alignment), ", in free RAM from gpa 0x",
      absl::Hex(request.first.value()), " to 0x",
      absl::Hex(request.last.value())));
}

}  // namespace

RamPlacer::RamPlacer(const E820Map& map) {
  for (const E820Entry& entry : map.entries()) {
    if (entry.type == E820Type::kRam) free_.push_back(entry.range);
  }
  Remove({Gpa(0), kPageSize});
}

absl::Status RamPlacer::Take(GpaRange range, absl::string_view what) {
  if (range.size == 0) return absl::OkStatus();
  for (const GpaRange& free : free_) {
    if (!free.Contains(range.start, range.size)) continue;
    Remove(range);
    return absl::OkStatus();
  }
  return absl::OutOfRangeError(absl::StrCat(
      what, ", ", range.size, " bytes at gpa 0x",
      absl::Hex(range.start.value()), ", is not wholly in free RAM"));
}

absl::StatusOr<Gpa> RamPlacer::TakeLowest(const Request& request) {
  LIBVMM_RETURN_IF_ERROR(CheckRequest(request));
  for (const GpaRange& free : free_) {
    const std::optional<GpaRange> window = Window(free, request);
    if (!window) continue;
    const Gpa start = window->start.AlignUp(request.alignment);
    // Above the last multiple AlignUp wraps below the window.
    if (!window->Contains(start, request.size)) continue;
    Remove({start, request.size});
    return start;
  }
  return NoRoom(request);
}

absl::StatusOr<Gpa> RamPlacer::TakeHighest(const Request& request) {
  LIBVMM_RETURN_IF_ERROR(CheckRequest(request));
  for (auto free = free_.rbegin(); free != free_.rend(); ++free) {
    const std::optional<GpaRange> window = Window(*free, request);
    if (!window || window->size < request.size) continue;
    const Gpa start = (window->start + (window->size - request.size))
                          .AlignDown(request.alignment);
    if (start < window->start) continue;
    Remove({start, request.size});
    return start;
  }
  return NoRoom(request);
}

void RamPlacer::Remove(const GpaRange& range) {
  std::vector<GpaRange> left;
  left.reserve(free_.size() + 1);
  for (const GpaRange& free : free_) {
    if (!free.Overlaps(range)) {
      left.push_back(free);
      continue;
    }
    if (free.start < range.start) {
      left.push_back({free.start, range.start - free.start});
    }
    if (LastByte(free) > LastByte(range)) {
      left.push_back({LastByte(range) + 1, LastByte(free) - LastByte(range)});
    }
  }
  free_ = std::move(left);
}

}  // namespace libvmm
