// SPDX-License-Identifier: Apache-2.0
#include "libvmm/memory/dirty_bitmap.h"

#include <atomic>
#include <cstdint>
#include <random>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/base/mapping.h"

namespace libvmm {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr uint64_t kPage = 4096;

std::vector<PageRange> Runs(const std::vector<uint64_t>& words) {
  std::vector<PageRange> runs;
  EXPECT_TRUE(ForEachPageRange(words, [&runs](PageRange run) {
    runs.push_back(run);
    return true;
  }));
  return runs;
}

std::vector<PageRange> CollectRuns(DirtyBitmap& bitmap) {
  std::vector<uint64_t> words(bitmap.word_count());
  bitmap.Collect(words);
  return Runs(words);
}

TEST(DirtyBitmapTest, PartialLastPageHasABit) {
  const DirtyBitmap bitmap({.size = 64 * kPage + 1, .page_size = kPage});
  EXPECT_EQ(bitmap.page_count(), 65u);
  EXPECT_EQ(bitmap.word_count(), 2u);
  EXPECT_EQ(bitmap.page_size(), kPage);
}

TEST(DirtyBitmapTest, PageSizeDefaultsToTheSystems) {
  const DirtyBitmap bitmap({.size = 10 * PageSize()});
  EXPECT_EQ(bitmap.page_size(), PageSize());
  EXPECT_EQ(bitmap.page_count(), 10u);
}

TEST(DirtyBitmapTest, MarkBytesMarksEveryPageTouched) {
  DirtyBitmap bitmap({.size = 256 * kPage, .page_size = kPage});
  bitmap.MarkBytes(0, 1);
  bitmap.MarkBytes(3 * kPage - 1, 2);
  bitmap.MarkBytes(10 * kPage, kPage);
  bitmap.MarkBytes(20 * kPage, 0);
  bitmap.MarkBytes(255 * kPage + 4095, 1);
  EXPECT_THAT(CollectRuns(bitmap),
              ElementsAre(PageRange{0, 1}, PageRange{2, 2}, PageRange{10, 1},
                          PageRange{255, 1}));
}

TEST(DirtyBitmapTest, EveryRangeOfPagesIsMarkedExactly) {
  constexpr uint64_t kPages = 200;
  DirtyBitmap bitmap({.size = kPages * kPage, .page_size = kPage});
  for (uint64_t first = 0; first < kPages; ++first) {
    for (uint64_t count = 1; first + count <= kPages; ++count) {
      bitmap.MarkPages({first, count});
      ASSERT_THAT(CollectRuns(bitmap), ElementsAre(PageRange{first, count}));
    }
  }
}

TEST(DirtyBitmapTest, MarksKeepTheirNeighbours) {
  DirtyBitmap bitmap({.size = 128 * kPage, .page_size = kPage});
  bitmap.MarkPages({1, 1});
  bitmap.MarkPages({63, 2});
  bitmap.MarkPages({1, 1});
  EXPECT_TRUE(bitmap.Test(1));
  EXPECT_FALSE(bitmap.Test(2));
  EXPECT_TRUE(bitmap.Test(64));
  EXPECT_THAT(CollectRuns(bitmap),
              ElementsAre(PageRange{1, 1}, PageRange{63, 2}));
}

TEST(DirtyBitmapTest, PagesBeyondTheLastAreNotMarked) {
  DirtyBitmap bitmap({.size = 70 * kPage, .page_size = kPage});
  bitmap.MarkPages({70, 1});
  bitmap.MarkPages({~uint64_t{0}, ~uint64_t{0}});
  EXPECT_THAT(CollectRuns(bitmap), IsEmpty());
  bitmap.MarkPages({69, ~uint64_t{0}});
  EXPECT_THAT(CollectRuns(bitmap), ElementsAre(PageRange{69, 1}));
  EXPECT_FALSE(bitmap.Test(70));
}

TEST(DirtyBitmapTest, CollectTakesTheMarksAndAddsUp) {
  DirtyBitmap bitmap({.size = 64 * kPage, .page_size = kPage});
  std::vector<uint64_t> words = {1};
  bitmap.MarkPages({4, 2});
  EXPECT_EQ(bitmap.Collect(words), 2u);
  EXPECT_THAT(words, ElementsAre(0x31));
  EXPECT_EQ(bitmap.Collect(words), 0u);
  EXPECT_THAT(words, ElementsAre(0x31));
}

TEST(DirtyBitmapTest, WithMarkersStoppedItCollectsAndClearsTheSame) {
  constexpr auto kAreStopped = DirtyBitmap::Markers::kAreStopped;
  DirtyBitmap bitmap({.size = 200 * kPage, .page_size = kPage});
  std::vector<uint64_t> words(bitmap.word_count());
  bitmap.MarkPages({.first = 3, .count = 1});
  bitmap.MarkPages({.first = 130, .count = 2});
  EXPECT_EQ(bitmap.Collect(words, kAreStopped), 3u);
  EXPECT_THAT(words, ElementsAre(uint64_t{1} << 3, 0, 0b1100, 0));
  EXPECT_EQ(bitmap.Collect(words, kAreStopped), 0u);
  bitmap.MarkPages({.first = 3, .count = 1});
  bitmap.Clear(kAreStopped);
  EXPECT_EQ(bitmap.Collect(words, kAreStopped), 0u);
}

TEST(DirtyBitmapTest, ShortBufferLeavesTheRest) {
  DirtyBitmap bitmap({.size = 128 * kPage, .page_size = kPage});
  bitmap.MarkPages({0, 128});
  std::vector<uint64_t> words(1);
  EXPECT_EQ(bitmap.Collect(words), 64u);
  EXPECT_THAT(CollectRuns(bitmap), ElementsAre(PageRange{64, 64}));
}

TEST(DirtyBitmapTest, MergeFromAddsMarksAndDropsSpareBits) {
  DirtyBitmap bitmap({.size = 66 * kPage, .page_size = kPage});
  bitmap.MarkPages({0, 1});
  bitmap.MergeFrom(std::vector<uint64_t>{0x4, ~uint64_t{0}, ~uint64_t{0}});
  EXPECT_THAT(CollectRuns(bitmap),
              ElementsAre(PageRange{0, 1}, PageRange{2, 1}, PageRange{64, 2}));
}

TEST(DirtyBitmapTest, ClearForgetsEverything) {
  DirtyBitmap bitmap({.size = 130 * kPage, .page_size = kPage});
  bitmap.MarkPages({0, 130});
  bitmap.Clear();
  EXPECT_THAT(CollectRuns(bitmap), IsEmpty());
}

TEST(DirtyBitmapTest, EmptyBitmapAcceptsEverything) {
  DirtyBitmap bitmap({.size = 0, .page_size = kPage});
  bitmap.MarkBytes(0, 10);
  bitmap.MergeFrom(std::vector<uint64_t>{1});
  EXPECT_FALSE(bitmap.Test(0));
  EXPECT_THAT(CollectRuns(bitmap), IsEmpty());
}

// Each page's counter is raised before the page is marked. Whoever collects the
// mark must see the counter's value of that moment, so that no increment is
// left unseen when the writers are done.
TEST(DirtyBitmapTest, NoWriteIsLostBetweenWritersAndCollector) {
  constexpr uint64_t kPages = 256;
  constexpr int kWriters = 3;
  constexpr int kRounds = 40'000;
  DirtyBitmap bitmap({.size = kPages * kPage, .page_size = kPage});
  std::vector<std::atomic<uint64_t>> counters(kPages);
  std::vector<uint64_t> seen(kPages);
  std::atomic<int> running = kWriters;

  std::vector<std::thread> writers;
  for (int writer = 0; writer < kWriters; ++writer) {
    writers.emplace_back([&, writer] {
      std::mt19937_64 random(static_cast<uint64_t>(writer));
      for (int round = 0; round < kRounds; ++round) {
        const uint64_t first = random() % kPages;
        const uint64_t count =
            random() % 8 == 0 ? 1 + random() % (kPages - first) : 1;
        for (uint64_t i = 0; i < count; ++i) {
          counters[first + i].store(
              counters[first + i].load(std::memory_order_relaxed) + 1,
              std::memory_order_relaxed);
        }
        bitmap.MarkPages({first, count});
      }
      running.fetch_sub(1, std::memory_order_release);
    });
  }
  bool last = false;
  while (!last) {
    last = running.load(std::memory_order_acquire) == 0;
    std::vector<uint64_t> words(bitmap.word_count());
    bitmap.Collect(words);
    ForEachPageRange(words, [&](PageRange run) {
      for (uint64_t i = run.first; i < run.first + run.count; ++i) {
        seen[i] = counters[i].load(std::memory_order_relaxed);
      }
      return true;
    });
  }
  for (std::thread& writer : writers) writer.join();
  for (uint64_t page = 0; page < kPages; ++page) {
    EXPECT_EQ(seen[page], counters[page].load()) << "page " << page;
  }
}

TEST(ForEachPageRangeTest, RunsCrossWords) {
  EXPECT_THAT(Runs({~uint64_t{0}, ~uint64_t{0}, 1}),
              ElementsAre(PageRange{0, 129}));
  EXPECT_THAT(Runs({uint64_t{1} << 63, 1, 0, 2}),
              ElementsAre(PageRange{63, 2}, PageRange{193, 1}));
  EXPECT_THAT(Runs({uint64_t{1} << 63, 2}),
              ElementsAre(PageRange{63, 1}, PageRange{65, 1}));
  EXPECT_THAT(Runs({0xf0f}), ElementsAre(PageRange{0, 4}, PageRange{8, 4}));
  EXPECT_THAT(Runs({}), IsEmpty());
  EXPECT_THAT(Runs({0, 0}), IsEmpty());
}

TEST(ForEachPageRangeTest, StopsWhenTheVisitorSaysSo) {
  for (const uint64_t stop_after : {1, 2, 3}) {
    uint64_t visited = 0;
    EXPECT_FALSE(
        ForEachPageRange(std::vector<uint64_t>{0x5, 0x8},
                         [&](PageRange) { return ++visited != stop_after; }));
    EXPECT_EQ(visited, stop_after);
  }
}

}  // namespace
}  // namespace libvmm
