// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/virtio/balloon/balloon_statistics.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "gtest/gtest.h"

namespace libvmm {
namespace {

struct Entry {
  uint16_t tag;
  uint64_t value;
};

std::vector<std::byte> Buffer(const std::vector<Entry>& entries) {
  std::vector<std::byte> bytes;
  for (const Entry& entry : entries) {
    for (int i = 0; i < 2; ++i) {
      bytes.push_back(static_cast<std::byte>(entry.tag >> 8 * i));
    }
    for (int i = 0; i < 8; ++i) {
      bytes.push_back(static_cast<std::byte>(entry.value >> 8 * i));
    }
  }
  return bytes;
}

TEST(BalloonStatisticsTest, EachTagHasItsField) {
  const struct {
    uint16_t tag;
    std::optional<uint64_t> BalloonStatistics::*field;
  } kTable[] = {{0, &BalloonStatistics::swapped_in},
                {1, &BalloonStatistics::swapped_out},
                {2, &BalloonStatistics::major_faults},
                {3, &BalloonStatistics::minor_faults},
                {4, &BalloonStatistics::free_memory},
                {5, &BalloonStatistics::total_memory},
                {6, &BalloonStatistics::available_memory},
                {7, &BalloonStatistics::disk_caches},
                {8, &BalloonStatistics::hugetlb_allocations},
                {9, &BalloonStatistics::hugetlb_failures}};
  for (const auto& row : kTable) {
    const uint64_t value = 0x123456789abcdef0u + row.tag;
    BalloonStatistics expected;
    expected.*row.field = value;
    EXPECT_EQ(ParseBalloonStatistics(Buffer({{row.tag, value}})), expected)
        << row.tag;
  }
}

TEST(BalloonStatisticsTest, TagsComeInAnyOrderAndTheLastCounts) {
  EXPECT_EQ(ParseBalloonStatistics(Buffer({{5, 50}, {4, 40}, {5, 51}})),
            (BalloonStatistics{.free_memory = 40, .total_memory = 51}));
}

TEST(BalloonStatisticsTest, UnknownTagsAreIgnored) {
  EXPECT_EQ(ParseBalloonStatistics(Buffer({{10, 1}, {4, 40}, {0xffff, 2}})),
            (BalloonStatistics{.free_memory = 40}));
}

TEST(BalloonStatisticsTest, PartOfAnEntryAtTheEndIsIgnored) {
  std::vector<std::byte> bytes = Buffer({{4, 40}, {5, 50}});
  for (int i = 0; i < 10; ++i) {
    bytes.pop_back();
    EXPECT_EQ(ParseBalloonStatistics(bytes),
              (BalloonStatistics{.free_memory = 40}))
        << bytes.size();
  }
  bytes.pop_back();
  EXPECT_EQ(ParseBalloonStatistics(bytes), BalloonStatistics{});
}

TEST(BalloonStatisticsTest, EmptyBufferTellsNothing) {
  EXPECT_EQ(ParseBalloonStatistics({}), BalloonStatistics{});
}

}  // namespace
}  // namespace libvmm
