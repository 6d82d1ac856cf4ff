// SPDX-License-Identifier: Apache-2.0
#include "libvmm/memory/dirty_bitmap.h"

#include <algorithm>
#include <bit>

#include "libvmm/base/mapping.h"

namespace libvmm {
namespace {

constexpr uint64_t kAllPages = ~uint64_t{0};

// Bits [first, first + count) of a word; 1 <= count <= 64 - first.
constexpr uint64_t Mask(uint64_t first, uint64_t count) {
  return (kAllPages >> (64 - count)) << first;
}

// The release side of every mark pairs with the acquire in Collect: whoever
// takes the mark sees the bytes that it stands for. The test may find a bit
// that Collect is about to take and skip the mark; see MarkPages.
void MarkWord(std::atomic<uint64_t>& word, uint64_t mask) {
  if ((word.load(std::memory_order_relaxed) & mask) == mask) return;
  word.fetch_or(mask, std::memory_order_release);
}

// All 64 pages: no other marks to keep, so a plain store does.
void MarkWholeWord(std::atomic<uint64_t>& word) {
  if (word.load(std::memory_order_relaxed) == kAllPages) return;
  word.store(kAllPages, std::memory_order_release);
}

}  // namespace

DirtyBitmap::DirtyBitmap(const Options& options)
    : page_shift_(static_cast<unsigned>(std::countr_zero(
          options.page_size != 0 ? options.page_size : uint64_t{PageSize()}))),
      page_count_((options.size >> page_shift_) +
                  ((options.size & (page_size() - 1)) != 0 ? 1 : 0)),
      words_(std::make_unique<std::atomic<uint64_t>[]>(word_count())) {}

void DirtyBitmap::MarkBytes(uint64_t offset, uint64_t size) noexcept {
  if (size == 0) return;
  const uint64_t first = offset >> page_shift_;
  const uint64_t last = (offset + size - 1) >> page_shift_;
  MarkPages({.first = first, .count = last - first + 1});
}

void DirtyBitmap::MarkPages(PageRange pages) noexcept {
  if (pages.first >= page_count_) return;
  uint64_t left = std::min(pages.count, page_count_ - pages.first);
  if (left == 0) return;
  // The bytes were stored before this point and the tests below load the marks.
  // Without a fence between, a test could find a mark that Collect takes while
  // the bytes still wait in this CPU's store buffer, and the page would be
  // lost. Collect has the heavy side.
  fence_.Light();
  std::atomic<uint64_t>* word = &words_[pages.first / 64];
  const uint64_t bit = pages.first % 64;
  if (bit != 0 || left < 64) {
    const uint64_t count = std::min(left, 64 - bit);
    MarkWord(*word++, Mask(bit, count));
    left -= count;
  }
  for (; left >= 64; left -= 64) MarkWholeWord(*word++);
  if (left != 0) MarkWord(*word, Mask(0, left));
}

bool DirtyBitmap::Test(uint64_t page) const noexcept {
  if (page >= page_count_) return false;
  return (words_[page / 64].load(std::memory_order_acquire) >> (page % 64) &
          1) != 0;
}

uint64_t DirtyBitmap::Collect(std::span<uint64_t> words,
                              Markers markers) noexcept {
  const size_t count = std::min(words.size(), word_count());
  uint64_t pages = 0;
  for (size_t i = 0; i < count; ++i) {
    if (words_[i].load(std::memory_order_relaxed) == 0) continue;
    const uint64_t taken = words_[i].exchange(0, std::memory_order_acquire);
    pages += static_cast<uint64_t>(std::popcount(taken));
    words[i] |= taken;
  }
  if (markers == Markers::kMayRun) fence_.Heavy();
  return pages;
}

void DirtyBitmap::MergeFrom(std::span<const uint64_t> words) noexcept {
  const size_t count = std::min(words.size(), word_count());
  for (size_t i = 0; i < count; ++i) {
    uint64_t mask = words[i];
    // KVM leaves bits beyond the slot's last page clear; others may not.
    if (i + 1 == word_count() && page_count_ % 64 != 0) {
      mask &= Mask(0, page_count_ % 64);
    }
    if (mask != 0) MarkWord(words_[i], mask);
  }
}

void DirtyBitmap::Clear(Markers markers) noexcept {
  for (size_t i = 0; i < word_count(); ++i) {
    words_[i].store(0, std::memory_order_relaxed);
  }
  if (markers == Markers::kMayRun) fence_.Heavy();
}

bool ForEachPageRange(std::span<const uint64_t> words,
                      absl::FunctionRef<bool(PageRange)> visit) {
  PageRange run;
  for (size_t i = 0; i < words.size(); ++i) {
    const uint64_t base = uint64_t{i} * 64;
    uint64_t word = words[i];
    // A run that reached the end of the last word goes on only from bit 0.
    if (run.count != 0 && (word & 1) == 0) {
      if (!visit(run)) return false;
      run = {};
    }
    while (word != 0) {
      const auto bit = static_cast<unsigned>(std::countr_zero(word));
      const auto length = static_cast<unsigned>(std::countr_one(word >> bit));
      if (run.count == 0) run.first = base + bit;
      run.count += length;
      if (bit + length == 64) break;
      if (!visit(run)) return false;
      run = {};
      word &= kAllPages << (bit + length);
    }
  }
  return run.count == 0 || visit(run);
}

}  // namespace libvmm
