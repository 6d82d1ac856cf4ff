// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/power/reset_control.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/devices/io_device.h"
#include "libvmm/devices/power/reset_control_registers.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm {
namespace {

using ::libvmm::testing::IsOk;
using ::libvmm::testing::StatusIs;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Kind = ResetControl::Kind;

class Bench {
 public:
  IoResult Out(uint8_t value) {
    const std::array data{std::byte{value}};
    return port.Write(0, data);
  }
  uint8_t In() {
    std::array<std::byte, 1> data{};
    EXPECT_EQ(port.Read(0, data), IoResult::kDone);
    return static_cast<uint8_t>(data[0]);
  }

  std::vector<Kind> resets;
  ResetControl port{[this](Kind kind) { resets.push_back(kind); }};
};

TEST(ResetControlTest, KindsOfReset) {
  const struct {
    uint8_t value;
    Kind kind;
  } kTable[] = {
      {0x04, Kind::kSoft}, {0x06, Kind::kHard}, {0x0e, Kind::kPowerCycle},
      {0x0c, Kind::kSoft}, {0xf6, Kind::kHard},
  };
  for (const auto& row : kTable) {
    SCOPED_TRACE(int{row.value});
    Bench bench;
    EXPECT_EQ(bench.Out(row.value), IoResult::kStop);
    EXPECT_THAT(bench.resets, ElementsAre(row.kind));
    EXPECT_EQ(bench.In(), row.value & 0x0e);
  }
}

TEST(ResetControlTest, OnlyARiseResets) {
  Bench bench;
  EXPECT_EQ(bench.In(), 0x00);
  // As Linux does it.
  EXPECT_EQ(bench.Out(0x02), IoResult::kDone);
  EXPECT_EQ(bench.In(), 0x02);
  EXPECT_THAT(bench.resets, IsEmpty());
  EXPECT_EQ(bench.Out(0x06), IoResult::kStop);
  EXPECT_THAT(bench.resets, ElementsAre(Kind::kHard));
  // No rise.
  EXPECT_EQ(bench.Out(0x0e), IoResult::kDone);
  EXPECT_EQ(bench.Out(0x00), IoResult::kDone);
  EXPECT_EQ(bench.Out(0x04), IoResult::kStop);
  EXPECT_THAT(bench.resets, ElementsAre(Kind::kHard, Kind::kSoft));
  bench.port.Reset();
  EXPECT_EQ(bench.In(), 0x00);
  EXPECT_EQ(bench.Out(0x06), IoResult::kStop);
}

TEST(ResetControlTest, TakesSingleBytesOnly) {
  Bench bench;
  const std::array word{std::byte{0x06}, std::byte{0x06}};
  EXPECT_EQ(bench.port.Write(0, word), IoResult::kDone);
  EXPECT_EQ(bench.port.Write(1, std::span(word).first(1)), IoResult::kDone);
  EXPECT_EQ(bench.port.Write(0, {}), IoResult::kDone);
  EXPECT_THAT(bench.resets, IsEmpty());
  EXPECT_EQ(bench.In(), 0x00);
  std::array<std::byte, 2> data{};
  EXPECT_EQ(bench.port.Read(0, data), IoResult::kDone);
  EXPECT_THAT(data, Each(std::byte{0xff}));
  data.fill(std::byte{0});
  EXPECT_EQ(bench.port.Read(1, std::span(data).first(1)), IoResult::kDone);
  EXPECT_EQ(data[0], std::byte{0xff});
}

TEST(ResetControlTest, NullCallbackStillStops) {
  ResetControl port(nullptr);
  const std::array data{std::byte{0x06}};
  EXPECT_EQ(port.Write(0, data), IoResult::kStop);
}

TEST(ResetControlTest, SaveAndRestore) {
  Bench bench;
  EXPECT_THAT(bench.port.Restore(0x06), IsOk());
  EXPECT_THAT(bench.resets, IsEmpty());
  EXPECT_EQ(bench.port.Save(), 0x06);
  EXPECT_EQ(bench.Out(0x06), IoResult::kDone);
  EXPECT_THAT(bench.port.Restore(0x16),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("0x16")));
  EXPECT_EQ(bench.port.Save(), 0x06);
}

}  // namespace
}  // namespace libvmm
