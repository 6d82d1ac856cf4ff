// SPDX-License-Identifier: Apache-2.0
#include "libvmm/base/field.h"

#include <cstdint>

#include "gtest/gtest.h"

namespace libvmm {
namespace {

using Low = Field<uint8_t, 1, 0>;
using Bit = Field<uint8_t, 7, 7>;
using Middle = Field<uint32_t, 19, 4>;
using Whole = Field<uint64_t, 63, 0>;

static_assert(Low::kMask == 0x03 && Low::kWidth == 2);
static_assert(Bit::kMask == 0x80 && Bit::kShift == 7);
static_assert(Middle::kMask == 0x000ffff0);
static_assert(Whole::kMask == ~uint64_t{0});

TEST(FieldTest, GetShiftsDown) {
  EXPECT_EQ(Low::Get(0xfe), 2);
  EXPECT_EQ(Bit::Get(0x80), 1);
  EXPECT_EQ(Middle::Get(0xabcd1234), 0xd123u);
  EXPECT_EQ(Whole::Get(0x123456789abcdef0), 0x123456789abcdef0u);
}

TEST(FieldTest, SetKeepsOtherBitsAndDropsWhatDoesNotFit) {
  EXPECT_EQ(Low::Set(0xff, 1), 0xfd);
  EXPECT_EQ(Low::Set(0x00, 0xff), 0x03);
  EXPECT_EQ(Bit::Set(0x01, 1), 0x81);
  EXPECT_EQ(Middle::Set(0xffffffff, 0), 0xfff0000fu);
}

TEST(FieldTest, OfPlacesAValue) {
  EXPECT_EQ(Bit::Of(1), 0x80);
  EXPECT_EQ(Middle::Of(0x1), 0x10u);
}

}  // namespace
}  // namespace libvmm
