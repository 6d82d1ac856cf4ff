// SPDX-License-Identifier: Apache-2.0
#include "libvmm/boot/ram_placer.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm {
namespace {

using ::libvmm::testing::IsOk;
using ::libvmm::testing::StatusIs;
using ::testing::HasSubstr;

constexpr Gpa kLast(~uint64_t{0});

// RAM from 0 to 0x8000 and from 0x10000 to 0x20000, ACPI tables between.
E820Map Map() {
  E820Map map;
  EXPECT_THAT(map.Add({Gpa(0), 0x8000}, E820Type::kRam), IsOk());
  EXPECT_THAT(map.Add({Gpa(0x8000), 0x8000}, E820Type::kAcpi), IsOk());
  EXPECT_THAT(map.Add({Gpa(0x10000), 0x10000}, E820Type::kRam), IsOk());
  return map;
}

TEST(RamPlacerTest, LowestLeavesTheFirstPageAlone) {
  RamPlacer placer(Map());
  EXPECT_EQ(*placer.TakeLowest({.what = "x", .size = 16, .last = kLast}),
            Gpa(0x1000));
  EXPECT_EQ(*placer.TakeLowest({.what = "x", .size = 1, .last = kLast}),
            Gpa(0x1010));
  EXPECT_EQ(*placer.TakeLowest(
                {.what = "x", .size = 1, .alignment = 0x1000, .last = kLast}),
            Gpa(0x2000));
  // Behind all that was taken, and then before it.
  EXPECT_EQ(*placer.TakeLowest({.what = "x", .size = 0x6000, .last = kLast}),
            Gpa(0x10000));
  EXPECT_EQ(*placer.TakeLowest({.what = "x", .size = 0xfef, .last = kLast}),
            Gpa(0x1011));
}

TEST(RamPlacerTest, HighestGoesDownFromTheEnd) {
  RamPlacer placer(Map());
  EXPECT_EQ(*placer.TakeHighest({.what = "x", .size = 16, .last = kLast}),
            Gpa(0x1fff0));
  EXPECT_EQ(*placer.TakeHighest(
                {.what = "x", .size = 16, .alignment = 0x1000, .last = kLast}),
            Gpa(0x1f000));
  EXPECT_EQ(*placer.TakeHighest({.what = "x", .size = 0xf000, .last = kLast}),
            Gpa(0x10000));
  EXPECT_EQ(*placer.TakeHighest({.what = "x", .size = 0x10, .last = kLast}),
            Gpa(0x1ffe0));
  EXPECT_EQ(*placer.TakeHighest({.what = "x", .size = 0x7000, .last = kLast}),
            Gpa(0x1000));
}

TEST(RamPlacerTest, BoundsAreKept) {
  RamPlacer placer(Map());
  EXPECT_EQ(
      *placer.TakeLowest(
          {.what = "x", .size = 0x100, .first = Gpa(0x12345), .last = kLast}),
      Gpa(0x12345));
  EXPECT_EQ(
      *placer.TakeHighest({.what = "x", .size = 0x100, .last = Gpa(0x11fff)}),
      Gpa(0x11f00));
  EXPECT_EQ(
      *placer.TakeHighest({.what = "x", .size = 0x100, .last = Gpa(0xffff)}),
      Gpa(0x7f00));
  EXPECT_THAT(
      placer.TakeLowest(
          {.what = "x", .size = 0x101, .first = Gpa(0x1ff00), .last = kLast}),
      StatusIs(absl::StatusCode::kResourceExhausted));
}

TEST(RamPlacerTest, WithoutRoomTheMessageNamesTheBounds) {
  RamPlacer placer(Map());
  for (const auto& result : {placer.TakeLowest({.what = "initrd",
                            .size = 0x10001,
                            .alignment = 0x10,
                            .last = Gpa(0x1ffff)}),
                             placer.TakeHighest({.what = "initrd",
                             .size = 0x10001,
                             .alignment = 0x10,
                             .last = Gpa(0x1ffff)})}) {
    EXPECT_THAT(result,
                StatusIs(absl::StatusCode::kResourceExhausted,
                         "initrd: no room for 65537 bytes, aligned to 0x10, "
                         "in free RAM from gpa 0x0 to 0x1ffff"));
  }
}

TEST(RamPlacerTest, AlignmentsNeverWrap) {
  E820Map map;
  ASSERT_OK(map.Add({Gpa(~uint64_t{0} - 0xfff), 0x1000}, E820Type::kRam));
  RamPlacer placer(map);
  const RamPlacer::Request huge{
      .what = "x", .size = 1, .alignment = uint64_t{1} << 63, .last = kLast};
  EXPECT_THAT(placer.TakeLowest(huge),
              StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_THAT(placer.TakeHighest(huge),
              StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_EQ(*placer.TakeHighest({.what = "x", .size = 1, .last = kLast}),
            kLast);
  EXPECT_EQ(*placer.TakeLowest({.what = "x", .size = 0xfff, .last = kLast}),
            Gpa(~uint64_t{0} - 0xfff));
}

TEST(RamPlacerTest, TakeWantsAllOfItsRangeFree) {
  RamPlacer placer(Map());
  EXPECT_OK(placer.Take({Gpa(0x11000), 0x1000}, "kernel"));
  EXPECT_OK(placer.Take({Gpa(0x11000), 0}, "kernel"));
  for (const GpaRange range :
       {GpaRange{Gpa(0x11fff), 1}, GpaRange{Gpa(0x10800), 0x1000},
        GpaRange{Gpa(0x7fff), 2}, GpaRange{Gpa(0xfff), 1},
        GpaRange{Gpa(0x9000), 1}, GpaRange{Gpa(0x1ffff), 2}}) {
    EXPECT_THAT(placer.Take(range, "kernel"),
                StatusIs(absl::StatusCode::kOutOfRange,
                         HasSubstr("is not wholly in free RAM")));
  }
  // Refused takes took nothing.
  EXPECT_OK(placer.Take({Gpa(0x10000), 0x1000}, "kernel"));
  EXPECT_OK(placer.Take({Gpa(0x1000), 0x7000}, "kernel"));
  EXPECT_OK(placer.Take({Gpa(0x12000), 0xe000}, "kernel"));
}

TEST(RamPlacerTest, SingleBytesLeftBesideATakenRangeStayFree) {
  RamPlacer placer(Map());
  ASSERT_OK(placer.Take({Gpa(0x1001), 0x6ffe}, "kernel"));
  EXPECT_OK(placer.Take({Gpa(0x1000), 1}, "x"));
  EXPECT_OK(placer.Take({Gpa(0x7fff), 1}, "x"));
}

TEST(RamPlacerTest, WholePagesRoundUp) {
  EXPECT_EQ(RamPlacer::WholePages(0), 0u);
  EXPECT_EQ(RamPlacer::WholePages(1), 0x1000u);
  EXPECT_EQ(RamPlacer::WholePages(0x1000), 0x1000u);
  EXPECT_EQ(RamPlacer::WholePages(0x1001), 0x2000u);
}

TEST(RamPlacerTest, NothingCannotBePlaced) {
  RamPlacer placer(Map());
  EXPECT_THAT(placer.TakeLowest({.what = "initrd", .last = kLast}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       "initrd to be placed is empty"));
  EXPECT_THAT(placer.TakeHighest({.what = "initrd", .last = kLast}),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace libvmm
