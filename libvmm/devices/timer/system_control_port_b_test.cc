// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/timer/system_control_port_b.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/base/manual_clock.h"
#include "libvmm/devices/timer/pit_8254.h"
#include "libvmm/devices/timer/pit_8254_clock.h"
#include "libvmm/devices/timer/pit_8254_registers.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm {
namespace {

using namespace system_control_port_b;  // NOLINT: the datasheet's names.
using ::libvmm::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class SystemControlPortBTest : public ::testing::Test {
 protected:
  uint8_t In() {
    std::array<std::byte, 1> data{};
    EXPECT_EQ(port_.Read(0, data), IoResult::kDone);
    return static_cast<uint8_t>(data[0]);
  }
  void Out(uint8_t value) {
    const std::array data{std::byte{value}};
    EXPECT_EQ(port_.Write(0, data), IoResult::kDone);
  }
  void OutPit(pit_8254::Register reg, uint8_t value) {
    const std::array data{std::byte{value}};
    EXPECT_EQ(pit_.Write(static_cast<uint64_t>(reg), data), IoResult::kDone);
  }
  void StartCounterTwo(uint16_t count) {
    OutPit(pit_8254::Register::kControl, 0xb0);  // Mode 0, both bytes.
    OutPit(pit_8254::Register::kCounter2, count & 0xff);
    OutPit(pit_8254::Register::kCounter2, count >> 8);
  }

  ManualClock clock_;
  Pit8254 pit_{clock_, {}};
  SystemControlPortB port_{clock_, pit_};
};

TEST_F(SystemControlPortBTest, LowBitsAreKept) {
  EXPECT_EQ(In(), 0);
  Out(0xff);
  EXPECT_EQ(In(), kWritable);
  EXPECT_TRUE(port_.speaker_enabled());
  Out(SerrDisable::kMask);
  EXPECT_EQ(In(), SerrDisable::kMask);
  EXPECT_FALSE(port_.speaker_enabled());
}

// What Linux polls to measure its TSC.
TEST_F(SystemControlPortBTest, Out2ShowsWhenTheCountIsOver) {
  Out((In() & ~SpeakerData::kMask) | Gate2::kMask);
  StartCounterTwo(11'932);
  clock_.Advance(absl::Milliseconds(9));
  EXPECT_EQ(Out2::Get(In()), 0);
  clock_.Advance(absl::Milliseconds(2));
  EXPECT_EQ(Out2::Get(In()), 1);
}

TEST_F(SystemControlPortBTest, GateTwoStopsTheCounter) {
  StartCounterTwo(100);
  clock_.Advance(absl::Seconds(1));
  EXPECT_EQ(Out2::Get(In()), 0);
  Out(Gate2::kMask);
  clock_.Advance(pit_8254::TimeOfClock(50));
  Out(0);
  clock_.Advance(absl::Seconds(1));
  EXPECT_EQ(Out2::Get(In()), 0);
  Out(Gate2::kMask);
  clock_.Advance(pit_8254::TimeOfClock(52));
  EXPECT_EQ(Out2::Get(In()), 1);
}

TEST_F(SystemControlPortBTest, RefreshTogglesEach18Pulses) {
  EXPECT_EQ(RefreshToggle::Get(In()), 0);
  clock_.Advance(pit_8254::TimeOfClock(17));
  EXPECT_EQ(RefreshToggle::Get(In()), 0);
  clock_.Advance(pit_8254::TimeOfClock(18) - pit_8254::TimeOfClock(17));
  EXPECT_EQ(RefreshToggle::Get(In()), 1);
  clock_.Advance(pit_8254::TimeOfClock(36) - pit_8254::TimeOfClock(18));
  EXPECT_EQ(RefreshToggle::Get(In()), 0);
}

TEST_F(SystemControlPortBTest, OnlyTheFirstByteOfAWideAccessCounts) {
  const std::array data{std::byte{kWritable}, std::byte{0}};
  EXPECT_EQ(port_.Write(0, data), IoResult::kDone);
  EXPECT_EQ(port_.Write(1, std::span(data).last(1)), IoResult::kDone);
  EXPECT_EQ(port_.Write(0, {}), IoResult::kDone);
  std::array<std::byte, 2> read{};
  EXPECT_EQ(port_.Read(0, read), IoResult::kDone);
  EXPECT_THAT(read, ElementsAre(std::byte{kWritable}, std::byte{0xff}));
  EXPECT_EQ(port_.Read(1, std::span(read).first(1)), IoResult::kDone);
  EXPECT_EQ(read[0], std::byte{0xff});
  EXPECT_EQ(port_.Read(0, {}), IoResult::kDone);
}

TEST_F(SystemControlPortBTest, SavesAndRestores) {
  Out(kWritable);
  EXPECT_EQ(port_.Save(), kWritable);
  port_.Reset();
  EXPECT_EQ(port_.Save(), 0);
  EXPECT_FALSE(pit_.Save().counters[2].gate);
  ASSERT_OK(port_.Restore(Gate2::kMask));
  EXPECT_TRUE(pit_.Save().counters[2].gate);
  EXPECT_THAT(port_.Restore(0x11),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("SystemControlPortB state is 0x11")));
  EXPECT_EQ(port_.Save(), Gate2::kMask);
}

}  // namespace
}  // namespace libvmm
