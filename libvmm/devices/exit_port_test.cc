// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/exit_port.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/devices/io_device.h"

namespace libvmm {
namespace {

using ::testing::Each;

constexpr std::array kValue{std::byte{0x21}, std::byte{0x43}, std::byte{0x65},
                            std::byte{0x87}, std::byte{0xff}};

TEST(ExitPortTest, WriteMakesTheCodeAndStops) {
  const struct {
    size_t size;
    uint32_t code;
  } kTable[] = {
      {1, 0x43}, {2, 0x8643}, {4, 0x0eca8643},  // 0x87654321 << 1 | 1
  };
  for (const auto& row : kTable) {
    ExitPort port;
    EXPECT_EQ(port.exit_code(), std::nullopt);
    EXPECT_EQ(port.Write(0, std::span(kValue).first(row.size)),
              IoResult::kStop);
    EXPECT_EQ(port.exit_code(), row.code) << row.size;
  }
}

TEST(ExitPortTest, ZeroIsCodeOne) {
  ExitPort port;
  const std::array zero{std::byte{0}};
  EXPECT_EQ(port.Write(3, zero), IoResult::kStop);
  EXPECT_EQ(port.exit_code(), 1u);
}

TEST(ExitPortTest, FirstCodeStaysUntilCleared) {
  ExitPort port;
  EXPECT_EQ(port.Write(0, std::span(kValue).first(1)), IoResult::kStop);
  EXPECT_EQ(port.Write(0, std::span(kValue).first(2)), IoResult::kStop);
  EXPECT_EQ(port.exit_code(), 0x43u);
  port.Clear();
  EXPECT_EQ(port.exit_code(), std::nullopt);
  EXPECT_EQ(port.Write(0, std::span(kValue).first(2)), IoResult::kStop);
  EXPECT_EQ(port.exit_code(), 0x8643u);
}

TEST(ExitPortTest, OtherSizesAreDropped) {
  ExitPort port;
  for (const size_t size : {3, 5}) {
    EXPECT_EQ(port.Write(0, std::span(kValue).first(size)), IoResult::kDone);
  }
  EXPECT_EQ(port.exit_code(), std::nullopt);
}

TEST(ExitPortTest, ReadsZero) {
  ExitPort port;
  std::array<std::byte, 4> data{std::byte{1}, std::byte{2}};
  EXPECT_EQ(port.Read(0, data), IoResult::kDone);
  EXPECT_THAT(data, Each(std::byte{0}));
  EXPECT_EQ(port.exit_code(), std::nullopt);
}

}  // namespace
}  // namespace libvmm
