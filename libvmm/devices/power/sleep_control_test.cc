// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/power/sleep_control.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/devices/io_device.h"
#include "libvmm/devices/power/sleep_control_registers.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm {
namespace {

using namespace sleep_control;  // NOLINT: the specification's names.
using ::libvmm::testing::IsOk;
using ::libvmm::testing::StatusIs;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class Bench {
 public:
  IoResult Out(uint64_t offset, uint8_t value) {
    const std::array data{std::byte{value}};
    return device.Write(offset, data);
  }
  uint8_t In(uint64_t offset) {
    std::array<std::byte, 1> data{};
    EXPECT_EQ(device.Read(offset, data), IoResult::kDone);
    return static_cast<uint8_t>(data[0]);
  }

  std::vector<int> sleeps;
  SleepControl device{[this](uint8_t type) { sleeps.push_back(type); }};
};

TEST(SleepControlTest, EveryValue) {
  for (int value = 0; value < 0x100; ++value) {
    SCOPED_TRACE(value);
    Bench bench;
    const bool sleeps = (value & 0x20) != 0;
    EXPECT_EQ(bench.Out(0, static_cast<uint8_t>(value)),
              sleeps ? IoResult::kStop : IoResult::kDone);
    EXPECT_EQ(bench.In(0), value & 0x1c);
    if (sleeps) {
      EXPECT_THAT(bench.sleeps, ElementsAre((value >> 2) & 7));
    } else {
      EXPECT_THAT(bench.sleeps, IsEmpty());
    }
  }
}

TEST(SleepControlTest, WakeStatusIsClearedByWritingOne) {
  Bench bench;
  EXPECT_EQ(bench.In(1), 0);
  bench.device.Wake();
  EXPECT_EQ(bench.In(1), 0x80);
  EXPECT_EQ(bench.Out(1, 0x7f), IoResult::kDone);
  EXPECT_EQ(bench.In(1), 0x80);
  EXPECT_EQ(bench.Out(1, 0x80), IoResult::kDone);
  EXPECT_EQ(bench.In(1), 0);
}

TEST(SleepControlTest, WideAccessesAreBytesInARow) {
  Bench bench;
  bench.device.Wake();
  const std::array data{std::byte{0x34}, std::byte{0x80}, std::byte{0xff}};
  EXPECT_EQ(bench.device.Write(0, data), IoResult::kStop);
  EXPECT_THAT(bench.sleeps, ElementsAre(5));
  std::array<std::byte, 4> read{};
  EXPECT_EQ(bench.device.Read(0, read), IoResult::kDone);
  EXPECT_THAT(read, ElementsAre(std::byte{0x14}, std::byte{0}, std::byte{0xff},
                                std::byte{0xff}));
  EXPECT_EQ(bench.In(1000), 0xff);
  EXPECT_EQ(bench.Out(2, 0xff), IoResult::kDone);
  EXPECT_EQ(bench.Out(~uint64_t{0}, 0xff), IoResult::kDone);
}

TEST(SleepControlTest, NullCallbackStillStops) {
  SleepControl device(nullptr);
  const std::array data{std::byte{0x20}};
  EXPECT_EQ(device.Write(0, data), IoResult::kStop);
}

TEST(SleepControlTest, SaveRestoreAndReset) {
  Bench bench;
  const SleepControlState state = {.control = 0x08, .status = 0x80};
  EXPECT_THAT(bench.device.Restore(state), IsOk());
  EXPECT_EQ(bench.device.Save(), state);
  EXPECT_THAT(bench.device.Restore({.control = 0x20}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("control"), HasSubstr("0x20"))));
  EXPECT_THAT(bench.device.Restore({.status = 0x01}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("status"), HasSubstr("0x1"))));
  EXPECT_EQ(bench.device.Save(), state);
  bench.device.Reset();
  EXPECT_EQ(bench.device.Save(), SleepControlState());
}

}  // namespace
}  // namespace libvmm
