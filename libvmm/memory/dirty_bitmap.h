// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_MEMORY_DIRTY_BITMAP_H_
#define LIBVMM_MEMORY_DIRTY_BITMAP_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "absl/functional/function_ref.h"
#include "libvmm/base/asymmetric_fence.h"

namespace libvmm {

// A run of pages, counted from the start of a region.
struct PageRange {
  uint64_t first = 0;
  uint64_t count = 0;

  friend constexpr bool operator==(const PageRange&,
                                   const PageRange&) = default;
};

// One bit for each page of a memory region: the pages that the host's devices
// wrote since the bits were last collected. The layout is that of KVM's dirty
// log (KVM_GET_DIRTY_LOG): bit n % 64 of word n / 64 is page n. KVM's log does
// not see what the host writes, so a complete answer merges the two.
//
// Thread-safety: thread-safe. A page that is marked while another thread
//     collects is in this collection or stays for the next; either way whoever
//     copies a page after Collect returned it either sees the bytes written
//     before the mark, or will be given the page again.
// Ownership: owns its words; callers bring the buffer for a collection.
// Errors: none. Pages beyond the last are the caller's bug and not marked.
// Cost: a mark tests before it writes: pages already marked cost a load for
//     each 64, and no shared cache line is dirtied. Collect is one system call
//     (membarrier(2)) and an exchange for each word that is not zero.
class DirtyBitmap {
 public:
  struct Options {
    // Bytes covered; the last page may be partial.
    uint64_t size = 0;
    // Bytes to a bit, a power of two; 0 means the system's page size, as in
    // KVM.
    uint64_t page_size = 0;
  };

  explicit DirtyBitmap(const Options& options);
  DirtyBitmap(const DirtyBitmap&) = delete;
  DirtyBitmap& operator=(const DirtyBitmap&) = delete;

  [[nodiscard]] uint64_t page_size() const {
    return uint64_t{1} << page_shift_;
  }
  [[nodiscard]] uint64_t page_count() const { return page_count_; }
  // 64-bit words that Collect fills.
  [[nodiscard]] size_t word_count() const { return (page_count_ + 63) / 64; }

  // Marks the pages that hold any of `size` bytes at `offset` in the region.
  // Call it after the bytes were written.
  void MarkBytes(uint64_t offset, uint64_t size) noexcept;

  // Marks whole pages; the part of the range beyond page_count() is dropped.
  void MarkPages(PageRange pages) noexcept;

  // True when page `page` is marked now.
  [[nodiscard]] bool Test(uint64_t page) const noexcept;

  // Whether anybody may mark pages during a call. That nobody does is the
  // caller's to know: the call then makes no system call.
  enum class Markers : uint8_t { kMayRun, kAreStopped };

  // Takes the marks: ORs them into `words` (so that collections can be added
  // up) and clears them here. `words` holds at least word_count() words; words
  // beyond a shorter buffer stay uncollected. Returns the number of pages
  // taken.
  uint64_t Collect(std::span<uint64_t> words,
                   Markers markers = Markers::kMayRun) noexcept;

  // ORs in marks made elsewhere: a KVM dirty log of the same region, or what a
  // failed transfer collected and could not use.
  void MergeFrom(std::span<const uint64_t> words) noexcept;

  // Forgets every mark.
  void Clear(Markers markers = Markers::kMayRun) noexcept;

 private:
  AsymmetricFence fence_;
  unsigned page_shift_ = 0;
  uint64_t page_count_ = 0;
  std::unique_ptr<std::atomic<uint64_t>[]> words_;
};

// Calls `visit` with each maximal run of set bits in `words`, lowest page
// first, until it returns false. Returns whether all were visited.
bool ForEachPageRange(std::span<const uint64_t> words,
                      absl::FunctionRef<bool(PageRange)> visit);

}  // namespace libvmm

#endif  // LIBVMM_MEMORY_DIRTY_BITMAP_H_
