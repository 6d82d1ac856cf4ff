// SPDX-License-Identifier: Apache-2.0
#include "libvmm/sandbox/address_space/stale_entries.h"

#include <random>
#include <set>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace libvmm::sandbox {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(StaleEntriesTest, NeighboursShareARange) {
  StaleEntries stale;
  EXPECT_TRUE(stale.empty());
  for (const uint64_t entry : {0x1000, 0x1008, 0x1008, 0x1000, 0x1018}) {
    stale.Add(Gpa(entry));
  }
  EXPECT_THAT(stale.ranges(), ElementsAre(StaleRange{Gpa(0x1000), 2},
                                          StaleRange{Gpa(0x1018), 1}));
}

TEST(StaleEntriesTest, RangesEndWithTheirTable) {
  StaleEntries stale;
  for (const uint64_t entry : {0x1ff0, 0x1ff8, 0x2000, 0x2008}) {
    stale.Add(Gpa(entry));
  }
  EXPECT_THAT(stale.ranges(), ElementsAre(StaleRange{Gpa(0x1ff0), 2},
                                          StaleRange{Gpa(0x2000), 2}));
}

TEST(StaleEntriesTest, AreTakenInParts) {
  StaleEntries stale;
  for (uint64_t i = 0; i < 5; ++i) stale.Add(Gpa(i * 0x1000));
  std::vector<StaleRange> part(3);
  EXPECT_EQ(stale.Take(part), 3u);
  EXPECT_THAT(
      part, ElementsAre(StaleRange{Gpa(0x2000), 1}, StaleRange{Gpa(0x3000), 1},
                        StaleRange{Gpa(0x4000), 1}));
  EXPECT_EQ(stale.size(), 2u);
  EXPECT_EQ(stale.Take({}), 0u);
  EXPECT_EQ(stale.Take(part), 2u);
  EXPECT_TRUE(stale.empty());
  EXPECT_EQ(stale.Take(part), 0u);
}

TEST(StaleEntriesTest, ManyInOneTableBecomeOneRange) {
  StaleEntries stale;
  // Every second entry, none beside another.
  for (uint64_t i = 0; i < 256; ++i) stale.Add(Gpa(0x5000 + i * 16));
  EXPECT_LE(stale.size(), StaleEntries::kExactRanges);
  EXPECT_EQ(stale.ranges().front().entry, Gpa(0x5000));
}

TEST(StaleEntriesTest, KeepsEveryEntryWithinItsBound) {
  constexpr uint64_t kTables = 200;
  std::mt19937_64 random(3);
  for (int round = 0; round < 50; ++round) {
    StaleEntries stale;
    std::set<uint64_t> added;
    const uint64_t tables = 1 + random() % kTables;
    for (int i = 0; i < 2000; ++i) {
      const uint64_t entry = random() % tables * 4096 + random() % 512 * 8;
      stale.Add(Gpa(entry));
      added.insert(entry);
      ASSERT_LE(stale.size(),
                std::max<size_t>(StaleEntries::kExactRanges, 2 * tables));
    }
    std::set<uint64_t> listed;
    for (const StaleRange& range : stale.ranges()) {
      ASSERT_LE(range.entry.value() % 4096 + range.count * 8, 4096u);
      for (uint64_t i = 0; i < range.count; ++i) {
        listed.insert(range.entry.value() + i * 8);
      }
    }
    for (const uint64_t entry : added) ASSERT_EQ(listed.count(entry), 1u);
  }
}

TEST(StaleEntriesTest, IsExactAgainAfterItWasEmpty) {
  StaleEntries stale;
  for (uint64_t i = 0; i < 1000; ++i) stale.Add(Gpa(i * 0x1000));
  std::vector<StaleRange> all(1000);
  EXPECT_EQ(stale.Take(all), 1000u);
  stale.Add(Gpa(0x1000));
  stale.Add(Gpa(0x1010));
  EXPECT_THAT(stale.ranges(), ElementsAre(StaleRange{Gpa(0x1000), 1},
                                          StaleRange{Gpa(0x1010), 1}));
  EXPECT_EQ(stale.Take(all), 2u);
  EXPECT_THAT(stale.ranges(), IsEmpty());
}

}  // namespace
}  // namespace libvmm::sandbox
