// SPDX-License-Identifier: Apache-2.0
#include "libvmm/base/address.h"

#include <limits>
#include <type_traits>

#include "gtest/gtest.h"

namespace libvmm {
namespace {

constexpr uint64_t kMax = std::numeric_limits<uint64_t>::max();

static_assert(sizeof(Gpa) == 8);
static_assert(std::is_trivially_copyable_v<Gpa>);
static_assert(!std::is_convertible_v<uint64_t, Gpa>);
static_assert(!std::is_convertible_v<Gpa, Gva>);

TEST(RangeFitsTest, Bounds) {
  const struct {
    uint64_t total, offset, size;
    bool fits;
  } rows[] = {
      {0, 0, 0, true},           {0, 0, 1, false},
      {16, 0, 16, true},         {16, 1, 16, false},
      {16, 16, 0, true},         {16, 17, 0, false},
      {16, 15, 1, true},         {16, kMax, 1, false},
      {16, 1, kMax, false},      {kMax, kMax, 0, true},
      {kMax, kMax - 1, 1, true}, {kMax, kMax, kMax, false},
  };
  for (const auto& row : rows) {
    EXPECT_EQ(RangeFits(row.total, row.offset, row.size), row.fits)
        << row.total << " " << row.offset << " " << row.size;
  }
}

TEST(GpaTest, Arithmetic) {
  EXPECT_EQ(Gpa(0x1000) + 0x10, Gpa(0x1010));
  EXPECT_EQ(Gpa(0x1010) - Gpa(0x1000), 0x10u);
  EXPECT_EQ(Gpa(0x1010) - 0x10, Gpa(0x1000));
  EXPECT_LT(Gpa(1), Gpa(2));
  EXPECT_EQ(Gpa(kMax) + 1, Gpa(0));
}

TEST(GpaTest, CheckedAddRefusesToWrap) {
  EXPECT_EQ(Gpa(kMax - 1).CheckedAdd(1), Gpa(kMax));
  EXPECT_FALSE(Gpa(kMax).CheckedAdd(1).has_value());
  EXPECT_FALSE(Gpa(1).CheckedAdd(kMax).has_value());
}

TEST(GpaTest, Alignment) {
  EXPECT_EQ(Gpa(0x1fff).AlignDown(0x1000), Gpa(0x1000));
  EXPECT_EQ(Gpa(0x1001).AlignUp(0x1000), Gpa(0x2000));
  EXPECT_EQ(Gpa(0x1000).AlignUp(0x1000), Gpa(0x1000));
  EXPECT_TRUE(Gpa(0x2000).IsAligned(0x1000));
  EXPECT_FALSE(Gpa(0x2008).IsAligned(0x1000));
}

TEST(GpaRangeTest, MayReachTheLastByteButNotPassIt) {
  EXPECT_TRUE(GpaRange::Create(Gpa(kMax), 1).has_value());
  EXPECT_FALSE(GpaRange::Create(Gpa(kMax), 2).has_value());
  EXPECT_TRUE(GpaRange::Create(Gpa(kMax), 0).has_value());
  EXPECT_TRUE(GpaRange::Create(Gpa(1), kMax).has_value());
  EXPECT_FALSE(GpaRange::Create(Gpa(2), kMax).has_value());
}

TEST(GpaRangeTest, Contains) {
  const GpaRange range{Gpa(0x1000), 0x100};
  EXPECT_TRUE(range.Contains(Gpa(0x1000)));
  EXPECT_TRUE(range.Contains(Gpa(0x10ff)));
  EXPECT_FALSE(range.Contains(Gpa(0x1100)));
  EXPECT_FALSE(range.Contains(Gpa(0xfff)));
  EXPECT_TRUE(range.Contains(Gpa(0x1000), 0x100));
  EXPECT_FALSE(range.Contains(Gpa(0x1001), 0x100));
  EXPECT_FALSE(range.Contains(Gpa(0x1001), kMax));
}

TEST(GpaRangeTest, Overlaps) {
  const GpaRange range{Gpa(0x1000), 0x100};
  EXPECT_TRUE(range.Overlaps({Gpa(0x10ff), 1}));
  EXPECT_FALSE(range.Overlaps({Gpa(0x1100), 1}));
  EXPECT_FALSE(range.Overlaps({Gpa(0xf00), 0x100}));
  EXPECT_TRUE(range.Overlaps({Gpa(0xf00), 0x101}));
  EXPECT_TRUE(range.Overlaps({Gpa(0), kMax}));
  EXPECT_FALSE(range.Overlaps({Gpa(0x1010), 0}));
  EXPECT_FALSE((GpaRange{Gpa(0x1010), 0}).Overlaps(range));
  EXPECT_TRUE((GpaRange{Gpa(kMax), 1}).Overlaps({Gpa(kMax), 1}));
}

}  // namespace
}  // namespace libvmm
