// SPDX-License-Identifier: Apache-2.0
#include "libvmm/base/little_endian.h"

#include <array>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace libvmm {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;

constexpr std::array<std::byte, 9> kBytes = {
    std::byte{0x80}, std::byte{0x91}, std::byte{0xa2},
    std::byte{0xb3}, std::byte{0xc4}, std::byte{0xd5},
    std::byte{0xe6}, std::byte{0xf7}, std::byte{0x08}};

TEST(LittleEndianTest, LoadsWhatTheSpanHas) {
  struct Row {
    size_t size;
    uint64_t value;
  };
  for (const Row& row :
       {Row{0, 0}, Row{1, 0x80}, Row{2, 0x9180}, Row{3, 0xa29180},
        Row{4, 0xb3a29180}, Row{8, 0xf7e6'd5c4'b3a2'9180}}) {
    EXPECT_EQ(LoadLittleEndian(std::span(kBytes).first(row.size)), row.value)
        << row.size;
  }
}

TEST(LittleEndianTest, LoadsEightBytesAtMost) {
  EXPECT_EQ(LoadLittleEndian(kBytes), 0xf7e6'd5c4'b3a2'9180);
}

TEST(LittleEndianTest, StoresWhatTheSpanHasRoomFor) {
  std::array<std::byte, 4> bytes = {};
  bytes.fill(std::byte{0xff});
  StoreLittleEndian(std::span(bytes).subspan(1, 2), 0x123456);
  EXPECT_THAT(bytes, ElementsAre(std::byte{0xff}, std::byte{0x56},
                                 std::byte{0x34}, std::byte{0xff}));
}

TEST(LittleEndianTest, StoresZerosBehindTheValue) {
  std::array<std::byte, 10> bytes = {};
  bytes.fill(std::byte{0xff});
  StoreLittleEndian(bytes, LoadLittleEndian(kBytes));
  for (size_t i = 0; i < 8; ++i) EXPECT_EQ(bytes[i], kBytes[i]) << i;
  EXPECT_THAT(std::span(bytes).subspan(8), Each(std::byte{0}));
}

}  // namespace
}  // namespace libvmm
