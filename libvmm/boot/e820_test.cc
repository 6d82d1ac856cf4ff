// SPDX-License-Identifier: Apache-2.0
#include "libvmm/boot/e820.h"

#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm {
namespace {

using ::libvmm::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

E820Entry Ram(uint64_t start, uint64_t size) {
  return {{Gpa(start), size}, E820Type::kRam};
}

TEST(E820MapTest, EntriesAreSortedWhateverTheOrder) {
  E820Map map;
  EXPECT_THAT(map.entries(), IsEmpty());
  ASSERT_OK(map.Add({Gpa(0x100000), 0x1000}, E820Type::kRam));
  ASSERT_OK(map.Add({Gpa(0), 0x1000}, E820Type::kRam));
  ASSERT_OK(map.Add({Gpa(0xf0000), 0x1000}, E820Type::kReserved));
  EXPECT_THAT(map.entries(), ElementsAre(Ram(0, 0x1000),
                                         E820Entry{{Gpa(0xf0000), 0x1000},
                                                   E820Type::kReserved},
                                         Ram(0x100000, 0x1000)));
}

TEST(E820MapTest, NeighboursOfOneTypeBecomeOne) {
  E820Map map;
  ASSERT_OK(map.Add({Gpa(0x1000), 0x1000}, E820Type::kRam));
  ASSERT_OK(map.Add({Gpa(0x3000), 0x1000}, E820Type::kRam));
  EXPECT_EQ(map.entries().size(), 2u);
  ASSERT_OK(map.Add({Gpa(0x2000), 0x1000}, E820Type::kRam));
  EXPECT_THAT(map.entries(), ElementsAre(Ram(0x1000, 0x3000)));
  ASSERT_OK(map.Add({Gpa(0), 0x1000}, E820Type::kRam));
  ASSERT_OK(map.Add({Gpa(0x4000), 0x1000}, E820Type::kRam));
  EXPECT_THAT(map.entries(), ElementsAre(Ram(0, 0x5000)));
}

TEST(E820MapTest, NeighboursOfOtherTypesStayApart) {
  E820Map map;
  ASSERT_OK(map.Add({Gpa(0), 0x1000}, E820Type::kRam));
  ASSERT_OK(map.Add({Gpa(0x1000), 0x1000}, E820Type::kAcpi));
  ASSERT_OK(map.Add({Gpa(0x2000), 0x1000}, E820Type::kRam));
  EXPECT_EQ(map.entries().size(), 3u);
}

TEST(E820MapTest, OverlapsAreRefusedWithBothRanges) {
  E820Map map;
  ASSERT_OK(map.Add({Gpa(0x2000), 0x2000}, E820Type::kRam));
  const E820Map before = map;
  for (const GpaRange range :
       {GpaRange{Gpa(0x1000), 0x1001}, GpaRange{Gpa(0x3fff), 1},
        GpaRange{Gpa(0x2800), 8}, GpaRange{Gpa(0), 0x10000}}) {
    EXPECT_THAT(
        map.Add(range, E820Type::kReserved),
        StatusIs(absl::StatusCode::kAlreadyExists,
                 HasSubstr("overlaps that of type 1 at gpa 0x2000, size "
                           "0x2000")));
    EXPECT_EQ(map, before);
  }
}

TEST(E820MapTest, EmptyAndWrappingRangesAreRefused) {
  E820Map map;
  EXPECT_THAT(map.Add({Gpa(0x1000), 0}, E820Type::kRam),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("type 1 at gpa 0x1000, size 0x0 is empty")));
  EXPECT_THAT(map.Add({Gpa(~uint64_t{0}), 2}, E820Type::kNvs),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("passes the end of the address space")));
  EXPECT_THAT(map.entries(), IsEmpty());
}

TEST(E820MapTest, TheLastByteCanBeInAnEntry) {
  constexpr uint64_t kHalf = uint64_t{1} << 63;
  E820Map map;
  ASSERT_OK(map.Add({Gpa(kHalf), kHalf}, E820Type::kRam));
  ASSERT_OK(map.Add({Gpa(0), kHalf}, E820Type::kRam));
  EXPECT_THAT(map.entries(), ElementsAre(Ram(0, kHalf), Ram(kHalf, kHalf)));
}

}  // namespace
}  // namespace libvmm
