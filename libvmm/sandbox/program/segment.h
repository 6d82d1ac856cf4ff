// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_SANDBOX_PROGRAM_SEGMENT_H_
#define LIBVMM_SANDBOX_PROGRAM_SEGMENT_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "libvmm/base/address.h"

namespace libvmm::sandbox {

// The pages of one PT_LOAD program header. `contents` go to `contents_gva`; all
// other bytes of the pages are zero.
struct ProgramSegment {
  Gva gva{};          // multiple of 4 KiB
  uint64_t size = 0;  // multiple of 4 KiB, not zero
  bool readable = false;
  bool writable = false;
  bool executable = false;
  Gva contents_gva{};
  std::span<const std::byte> contents{};  // in the file

  // True when `bytes` bytes at `at` all lie in these pages.
  [[nodiscard]] constexpr bool Contains(Gva at, uint64_t bytes = 1) const {
    return at >= gva && RangeFits(size, at - gva, bytes);
  }
};

// Segments as a program has them in memory: sorted by gva, no page in two.
//
// Thread-safety: immutable.
// Ownership: a view of the segments, which view the file.
// Errors: none; what is not there is an empty optional or null.
// Cost: a binary search per call; no allocation.
class SegmentView {
 public:
  explicit SegmentView(std::span<const ProgramSegment> segments)
      : segments_(segments) {}

  // The one that holds all `bytes` bytes at `gva`; null if there is none.
  [[nodiscard]] const ProgramSegment* Find(Gva gva, uint64_t bytes = 1) const;
  // The same, if the segment may be executed.
  [[nodiscard]] const ProgramSegment* FindExecutable(Gva gva) const;

  // `bytes` bytes at `gva` when the file gives all of them.
  [[nodiscard]] std::optional<std::span<const std::byte>> Contents(
      Gva gva, uint64_t bytes) const;
  // The eight bytes at `gva` as they are before relocation; nothing when they
  // are not all in one segment.
  [[nodiscard]] std::optional<uint64_t> Word(Gva gva) const;

 private:
  std::span<const ProgramSegment> segments_;
};

}  // namespace libvmm::sandbox

#endif  // LIBVMM_SANDBOX_PROGRAM_SEGMENT_H_
