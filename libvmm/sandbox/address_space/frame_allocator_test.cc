// SPDX-License-Identifier: Apache-2.0
#include "libvmm/sandbox/address_space/frame_allocator.h"

#include <map>
#include <random>
#include <set>
#include <vector>

#include "gtest/gtest.h"

namespace libvmm::sandbox {
namespace {

constexpr uint64_t kFrame = FrameAllocator::kFrameSize;

TEST(FrameAllocatorTest, GivesFreshFramesInOrder) {
  FrameAllocator frames({Gpa(0x10000), 3 * kFrame});
  for (uint64_t i = 0; i < 3; ++i) {
    EXPECT_EQ(frames.available(), 3 - i);
    const auto frame = frames.Allocate(FrameUse::kPage);
    ASSERT_TRUE(frame.has_value());
    EXPECT_EQ(frame->gpa, Gpa(0x10000 + i * kFrame));
    EXPECT_TRUE(frame->fresh);
  }
  EXPECT_FALSE(frames.Allocate(FrameUse::kTable).has_value());
  EXPECT_EQ(frames.available(), 0u);
  EXPECT_EQ(frames.used(), 3u);
}

TEST(FrameAllocatorTest, FreedFramesRestUntilTheyAreReleased) {
  FrameAllocator frames({Gpa(0), 2 * kFrame});
  (void)frames.Allocate(FrameUse::kTable);
  (void)frames.Allocate(FrameUse::kPage);
  EXPECT_TRUE(frames.Free(Gpa(0)));
  EXPECT_TRUE(frames.has_resting());
  EXPECT_EQ(frames.used(), 1u);
  EXPECT_EQ(frames.available(), 0u);
  EXPECT_FALSE(frames.UseOf(Gpa(0)).has_value());
  EXPECT_FALSE(frames.Allocate(FrameUse::kPage).has_value());
  frames.ReleaseFreed();
  EXPECT_FALSE(frames.has_resting());
  EXPECT_EQ(frames.available(), 1u);
  const auto frame = frames.Allocate(FrameUse::kPage);
  ASSERT_TRUE(frame.has_value());
  EXPECT_EQ(frame->gpa, Gpa(0));
  EXPECT_FALSE(frame->fresh);
  EXPECT_EQ(frames.UseOf(Gpa(0)), FrameUse::kPage);
}

TEST(FrameAllocatorTest, OnlyWhatIsInUseCanBeFreed) {
  FrameAllocator frames({Gpa(0x10000), 4 * kFrame});
  ASSERT_TRUE(frames.TakeFirstTables(2));
  EXPECT_EQ(frames.UseOf(Gpa(0x11000)), FrameUse::kTable);
  for (const uint64_t gpa : {0x0, 0xf000, 0x10001, 0x10800, 0x12000, 0x14000}) {
    EXPECT_FALSE(frames.Free(Gpa(gpa))) << gpa;
    EXPECT_FALSE(frames.UseOf(Gpa(gpa)).has_value()) << gpa;
  }
  EXPECT_FALSE(frames.Free(Gpa(~uint64_t{0xfff})));
  EXPECT_TRUE(frames.Free(Gpa(0x11000)));
  EXPECT_FALSE(frames.Free(Gpa(0x11000)));
  frames.ReleaseFreed();
  EXPECT_FALSE(frames.Free(Gpa(0x11000)));
  EXPECT_EQ(frames.used(), 1u);
  EXPECT_EQ(frames.available(), 3u);
}

TEST(FrameAllocatorTest, TooFewFramesForTables) {
  FrameAllocator frames({Gpa(0), 2 * kFrame});
  EXPECT_FALSE(frames.TakeFirstTables(3));
}

TEST(FrameAllocatorTest, ACopyIsASnapshot) {
  FrameAllocator frames({Gpa(0), 4 * kFrame});
  (void)frames.Allocate(FrameUse::kPage);
  const FrameAllocator copy = frames;
  EXPECT_TRUE(frames.Free(Gpa(0)));
  (void)frames.Allocate(FrameUse::kTable);
  EXPECT_EQ(copy.UseOf(Gpa(0)), FrameUse::kPage);
  EXPECT_FALSE(copy.UseOf(Gpa(kFrame)).has_value());
  EXPECT_EQ(copy.used(), 1u);
}

TEST(FrameAllocatorTest, AgreesWithAModel) {
  constexpr uint64_t kFrames = 150;
  std::mt19937_64 random(5);
  for (int round = 0; round < 20; ++round) {
    FrameAllocator frames({Gpa(0x7000), kFrames * kFrame});
    std::map<uint64_t, FrameUse> used;
    std::set<uint64_t> free, resting, seen;
    for (int i = 0; i < 1500; ++i) {
      const uint64_t gpa = 0x7000 + random() % kFrames * kFrame;
      // Frames fill up in the first half, and go in the second.
      if (random() % 5 < (i < 750 ? 3u : 1u)) {
        const auto use = random() % 2 ? FrameUse::kPage : FrameUse::kTable;
        const auto frame = frames.Allocate(use);
        ASSERT_EQ(frame.has_value(), !free.empty() || seen.size() < kFrames);
        if (!frame) continue;
        if (free.empty()) {
          ASSERT_TRUE(frame->fresh);
          ASSERT_TRUE(seen.insert(frame->gpa.value()).second);
        } else {
          ASSERT_FALSE(frame->fresh);
          ASSERT_EQ(frame->gpa.value(), *free.begin());
          free.erase(free.begin());
        }
        used[frame->gpa.value()] = use;
      } else if (random() % 10 == 0) {
        frames.ReleaseFreed();
        free.insert(resting.begin(), resting.end());
        resting.clear();
      } else {
        ASSERT_EQ(frames.Free(Gpa(gpa)), used.erase(gpa) == 1);
        if (seen.count(gpa) != 0 && free.count(gpa) == 0 &&
            used.count(gpa) == 0) {
          resting.insert(gpa);
        }
      }
      ASSERT_EQ(frames.used(), used.size());
      ASSERT_EQ(frames.available(), kFrames - seen.size() + free.size());
      ASSERT_EQ(frames.has_resting(), !resting.empty());
      const auto expected = used.find(gpa);
      const auto use = frames.UseOf(Gpa(gpa));
      ASSERT_EQ(use.has_value(), expected != used.end());
      if (use) {
        ASSERT_EQ(*use, expected->second);
      }
    }
  }
}

}  // namespace
}  // namespace libvmm::sandbox
