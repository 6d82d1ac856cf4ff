// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/rtc/mc146818.h"

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/base/manual_clock.h"
#include "libvmm/devices/io_device.h"
#include "libvmm/devices/rtc/mc146818_registers.h"
#include "libvmm/devices/rtc/mc146818_state.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm {
namespace {

using namespace mc146818;  // NOLINT: the datasheet's names.
using ::libvmm::testing::IsOk;
using ::libvmm::testing::StatusIs;
using ::testing::AllOf;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// 2024-02-29 23:58:57 UTC, a Thursday.
constexpr int64_t kStart = 1709251137;
constexpr absl::Duration kTick = absl::Nanoseconds(1);
// What a PC uses: 32.768 kHz, 1024 Hz, 24 hours, BCD.
constexpr uint8_t kDivider = 0x20;
constexpr uint8_t kDividerHeld = 0x70;

// A clock, a device, and a host that keeps what comes out of it.
class Bench {
 public:
  explicit Bench(Mc146818::Options options = {})
      : rtc(clock, WithCallbacks(std::move(options))) {}

  void Index(uint8_t value) {
    const std::array data{std::byte{value}};
    EXPECT_EQ(rtc.Write(0, data), IoResult::kDone);
  }
  uint8_t In(uint8_t address) {
    Index(address);
    std::array<std::byte, 1> data{};
    EXPECT_EQ(rtc.Read(1, data), IoResult::kDone);
    return static_cast<uint8_t>(data[0]);
  }
  uint8_t In(Register reg) { return In(static_cast<uint8_t>(reg)); }
  void Out(uint8_t address, uint8_t value) {
    Index(address);
    const std::array data{std::byte{value}};
    EXPECT_EQ(rtc.Write(1, data), IoResult::kDone);
  }
  void Out(Register reg, uint8_t value) {
    Out(static_cast<uint8_t>(reg), value);
  }
  // Century, year, month, day, hours, minutes, seconds.
  std::vector<int> Time() {
    return {In(Register::kCentury), In(Register::kYear),
            In(Register::kMonth),   In(Register::kDayOfMonth),
            In(Register::kHours),   In(Register::kMinutes),
            In(Register::kSeconds)};
  }
  void SetTime(const std::vector<int>& time) {
    constexpr Register kOrder[] = {Register::kCentury, Register::kYear,
                                   Register::kMonth,   Register::kDayOfMonth,
                                   Register::kHours,   Register::kMinutes,
                                   Register::kSeconds};
    for (size_t i = 0; i < time.size(); ++i) {
      Out(kOrder[i], static_cast<uint8_t>(time[i]));
    }
  }
  // Time passes, and the device is called at each of its deadlines.
  void Run(absl::Duration time) {
    const absl::Duration end = clock.Monotonic() + time;
    while (rtc.NextDeadline() <= end) {
      const absl::Duration next = rtc.NextDeadline();
      if (next > clock.Monotonic()) clock.Advance(next - clock.Monotonic());
      rtc.OnDeadline();
      ASSERT_GT(rtc.NextDeadline(), clock.Monotonic());
    }
    clock.Advance(end - clock.Monotonic());
  }
  absl::Duration Wait() { return rtc.NextDeadline() - clock.Monotonic(); }

  ManualClock clock{absl::FromUnixSeconds(kStart)};
  Mc146818 rtc;
  std::vector<bool> levels;
  int moved = 0;

 private:
  Mc146818::Options WithCallbacks(Mc146818::Options options) {
    options.interrupt = [this](bool level) { levels.push_back(level); };
    options.deadline_moved = [this] { ++moved; };
    return options;
  }
};

TEST(Mc146818Test, ResetValues) {
  Bench bench;
  EXPECT_EQ(bench.In(Register::kA), 0x26);
  EXPECT_EQ(bench.In(Register::kB), 0x02);
  EXPECT_EQ(bench.In(Register::kC), 0x00);
  EXPECT_EQ(bench.In(Register::kD), 0x80);
  EXPECT_EQ(bench.In(Register::kSecondsAlarm), 0x00);
  EXPECT_EQ(bench.rtc.NextDeadline(), absl::InfiniteDuration());
  EXPECT_THAT(bench.levels, IsEmpty());
}

TEST(Mc146818Test, ReadsTheClocksTime) {
  Bench bench;
  EXPECT_THAT(bench.Time(),
              ElementsAre(0x20, 0x24, 0x02, 0x29, 0x23, 0x58, 0x57));
  EXPECT_EQ(bench.In(Register::kDayOfWeek), 5);  // Sunday is 1.
  bench.clock.Advance(absl::Seconds(63));
  EXPECT_THAT(bench.Time(),
              ElementsAre(0x20, 0x24, 0x03, 0x01, 0x00, 0x00, 0x00));
  EXPECT_EQ(bench.In(Register::kDayOfWeek), 6);
}

TEST(Mc146818Test, OffsetAtFirst) {
  Bench bench({.offset = -absl::Hours(24) + absl::Seconds(2)});
  EXPECT_THAT(bench.Time(),
              ElementsAre(0x20, 0x24, 0x02, 0x28, 0x23, 0x58, 0x59));
}

TEST(Mc146818Test, FollowsTheHostsClockWhenItIsSet) {
  Bench bench;
  bench.clock.SetNow(absl::FromUnixSeconds(0));
  EXPECT_THAT(bench.Time(), ElementsAre(0x19, 0x70, 1, 1, 0, 0, 0));
}

TEST(Mc146818Test, HourFormats) {
  const struct {
    int hour;
    uint8_t bcd24, binary24, bcd12, binary12;
  } kTable[] = {
      {0, 0x00, 0, 0x12, 12},         {1, 0x01, 1, 0x01, 1},
      {9, 0x09, 9, 0x09, 9},          {10, 0x10, 10, 0x10, 10},
      {11, 0x11, 11, 0x11, 11},       {12, 0x12, 12, 0x92, 0x80 | 12},
      {13, 0x13, 13, 0x81, 0x80 | 1}, {23, 0x23, 23, 0x91, 0x80 | 11},
  };
  for (const auto& row : kTable) {
    SCOPED_TRACE(row.hour);
    Bench bench;
    bench.clock.SetNow(absl::UnixEpoch() + absl::Hours(row.hour));
    const struct {
      uint8_t format;
      uint8_t value;
    } kFormats[] = {
        {B24Hour::kMask, row.bcd24},
        {B24Hour::kMask | BBinary::kMask, row.binary24},
        {0, row.bcd12},
        {BBinary::kMask, row.binary12},
    };
    for (const auto& format : kFormats) {
      bench.Out(Register::kB, format.format);
      EXPECT_EQ(bench.In(Register::kHours), format.value);
      // And back: the guest sets another hour, then this one.
      bench.Out(Register::kHours, 0x05);
      EXPECT_EQ(bench.In(Register::kHours), 0x05);
      bench.Out(Register::kHours, format.value);
      EXPECT_EQ(bench.In(Register::kHours), format.value);
    }
  }
}

TEST(Mc146818Test, BinaryMode) {
  Bench bench;
  bench.Out(Register::kB, B24Hour::kMask | BBinary::kMask);
  EXPECT_THAT(bench.Time(), ElementsAre(20, 24, 2, 29, 23, 58, 57));
}

TEST(Mc146818Test, WithoutCenturyTheByteIsRam) {
  Bench bench({.century = false});
  EXPECT_EQ(bench.In(Register::kCentury), 0);
  bench.Out(Register::kCentury, 0x77);
  EXPECT_EQ(bench.In(Register::kCentury), 0x77);
  EXPECT_EQ(bench.In(Register::kYear), 0x24);
  // The century of a year that is set is the present one.
  bench.Out(Register::kYear, 0x99);
  bench.clock.Advance(absl::Seconds(1));
  EXPECT_EQ(bench.In(Register::kYear), 0x99);
  EXPECT_EQ(bench.rtc.Save().offset, absl::Hours(24) * 27394 /* 75 years */);
}

TEST(Mc146818Test, TimeSetWhileRunningTakesEffectAtOnce) {
  Bench bench;
  bench.clock.Advance(absl::Milliseconds(250));
  bench.SetTime({0x19, 0x99, 0x12, 0x31, 0x23, 0x59, 0x59});
  EXPECT_THAT(bench.Time(),
              ElementsAre(0x19, 0x99, 0x12, 0x31, 0x23, 0x59, 0x59));
  // The beat of the second is the old one.
  bench.clock.Advance(absl::Milliseconds(750) - kTick);
  EXPECT_EQ(bench.In(Register::kSeconds), 0x59);
  bench.clock.Advance(kTick);
  EXPECT_THAT(bench.Time(), ElementsAre(0x20, 0x00, 1, 1, 0, 0, 0));
}

TEST(Mc146818Test, SetStopsTheClockAndItGoesOnFromWhatIsThere) {
  Bench bench;
  bench.clock.Advance(absl::Milliseconds(400));
  bench.Out(Register::kB, BSet::kMask | B24Hour::kMask);
  bench.clock.Advance(absl::Seconds(100));
  EXPECT_EQ(bench.In(Register::kSeconds), 0x57);
  bench.SetTime({0x20, 0x30, 0x06, 0x15, 0x10, 0x20, 0x30});
  bench.clock.Advance(absl::Seconds(100));
  EXPECT_THAT(bench.Time(),
              ElementsAre(0x20, 0x30, 0x06, 0x15, 0x10, 0x20, 0x30));
  bench.Out(Register::kB, B24Hour::kMask);
  bench.clock.Advance(absl::Milliseconds(600) - kTick);
  EXPECT_EQ(bench.In(Register::kSeconds), 0x30);
  bench.clock.Advance(kTick);
  EXPECT_EQ(bench.In(Register::kSeconds), 0x31);
}

TEST(Mc146818Test, DividerLetGoStartsHalfASecondBeforeTheFirstUpdate) {
  Bench bench;
  bench.clock.Advance(absl::Milliseconds(123));
  bench.Out(Register::kB, BSet::kMask | B24Hour::kMask);
  bench.Out(Register::kA, kDividerHeld);
  bench.SetTime({0x20, 0x30, 0x06, 0x15, 0x10, 0x20, 0x30});
  bench.Out(Register::kB, B24Hour::kMask);
  bench.In(Register::kC);
  bench.clock.Advance(absl::Seconds(7));
  // Held still.
  EXPECT_EQ(bench.In(Register::kSeconds), 0x30);
  EXPECT_EQ(bench.In(Register::kC), 0x00);
  bench.Out(Register::kA, 0x26);
  bench.clock.Advance(absl::Milliseconds(500) - kTick);
  EXPECT_EQ(bench.In(Register::kSeconds), 0x30);
  bench.clock.Advance(kTick);
  EXPECT_THAT(bench.Time(),
              ElementsAre(0x20, 0x30, 0x06, 0x15, 0x10, 0x20, 0x31));
}

TEST(Mc146818Test, DividerLetGoUnderSetKeepsItsBeat) {
  Bench bench;
  bench.Out(Register::kB, BSet::kMask | B24Hour::kMask);
  bench.Out(Register::kA, kDividerHeld);
  bench.Out(Register::kA, 0x26);
  bench.clock.Advance(absl::Milliseconds(300));
  bench.Out(Register::kB, B24Hour::kMask);
  bench.clock.Advance(absl::Milliseconds(200) - kTick);
  EXPECT_EQ(bench.In(Register::kSeconds), 0x57);
  bench.clock.Advance(kTick);
  EXPECT_EQ(bench.In(Register::kSeconds), 0x58);
}

TEST(Mc146818Test, ValuesThatAreNoDateAreCarried) {
  Bench bench;
  bench.Out(Register::kB, BSet::kMask | B24Hour::kMask | BBinary::kMask);
  bench.SetTime({20, 23, 2, 30, 25, 61, 75});
  bench.Out(Register::kB, B24Hour::kMask | BBinary::kMask);
  EXPECT_THAT(bench.Time(), ElementsAre(20, 23, 3, 3, 2, 2, 15));
  // Month zero is the December before.
  bench.Out(Register::kMonth, 0);
  EXPECT_THAT(bench.Time(), ElementsAre(20, 22, 12, 3, 2, 2, 15));
}

TEST(Mc146818Test, DayOfWeekIsACounterOfItsOwn) {
  Bench bench;
  bench.Out(Register::kDayOfWeek, 7);
  EXPECT_EQ(bench.In(Register::kDayOfWeek), 7);
  EXPECT_EQ(bench.In(Register::kDayOfMonth), 0x29);
  bench.clock.Advance(absl::Hours(24));
  EXPECT_EQ(bench.In(Register::kDayOfWeek), 1);
  // Another date leaves it as it is.
  bench.Out(Register::kDayOfMonth, 0x15);
  EXPECT_EQ(bench.In(Register::kDayOfWeek), 1);
}

TEST(Mc146818Test, UpdateInProgressBeforeTheSecondEnds) {
  Bench bench;
  bench.clock.Advance(absl::Seconds(1) - absl::Microseconds(244) - kTick);
  EXPECT_EQ(bench.In(Register::kA), 0x26);
  bench.clock.Advance(kTick);
  EXPECT_EQ(bench.In(Register::kA), 0xa6);
  EXPECT_EQ(bench.In(Register::kSeconds), 0x57);
  bench.clock.Advance(absl::Microseconds(244) - kTick);
  EXPECT_EQ(bench.In(Register::kA), 0xa6);
  bench.clock.Advance(kTick);
  EXPECT_EQ(bench.In(Register::kA), 0x26);
  EXPECT_EQ(bench.In(Register::kSeconds), 0x58);
  // Not while the clock is stopped.
  bench.clock.Advance(absl::Seconds(1) - kTick);
  bench.Out(Register::kB, BSet::kMask | B24Hour::kMask);
  EXPECT_EQ(bench.In(Register::kA), 0x26);
}

TEST(Mc146818Test, WritableBits) {
  const struct {
    Register reg;
    uint8_t kept;
    uint8_t others;  // Reads so whatever is written.
  } kTable[] = {
      {Register::kA, 0x7f, 0x00},
      {Register::kC, 0x00, 0x00},
      {Register::kD, 0x00, 0x80},
      {Register::kSecondsAlarm, 0xff, 0x00},
      {Register::kMinutesAlarm, 0xff, 0x00},
      {Register::kHoursAlarm, 0xff, 0x00},
  };
  for (const auto& row : kTable) {
    for (const uint8_t value : {0x00, 0x55, 0xaa, 0xff}) {
      Bench bench;
      bench.Out(row.reg, value);
      EXPECT_EQ(bench.In(row.reg), (value & row.kept) | row.others)
          << static_cast<int>(row.reg) << " " << int{value};
    }
  }
  // Register B but for UIE, which SET clears.
  for (int value = 0; value < 0x100; ++value) {
    Bench bench;
    bench.Out(Register::kB, static_cast<uint8_t>(value));
    EXPECT_EQ(bench.In(Register::kB), value >= 0x80 ? value & ~0x10 : value);
  }
}

TEST(Mc146818Test, RamKeepsWhatIsWritten) {
  Mc146818::Options options;
  for (int i = 0; i < kMemorySize; ++i) {
    options.memory[i] = static_cast<uint8_t>(0xff - i);
  }
  Bench bench(std::move(options));
  for (uint8_t address = kRamStart; address < kMemorySize; ++address) {
    if (address == static_cast<uint8_t>(Register::kCentury)) continue;
    EXPECT_EQ(bench.In(address), 0xff - address) << int{address};
    bench.Out(address, static_cast<uint8_t>(address ^ 0x5a));
  }
  bench.rtc.Reset();
  for (uint8_t address = kRamStart; address < kMemorySize; ++address) {
    if (address == static_cast<uint8_t>(Register::kCentury)) continue;
    EXPECT_EQ(bench.In(address), address ^ 0x5a) << int{address};
  }
  EXPECT_THAT(bench.Time(),
              ElementsAre(0x20, 0x24, 0x02, 0x29, 0x23, 0x58, 0x57));
  EXPECT_EQ(bench.In(Register::kSecondsAlarm), 0xfe);
}

TEST(Mc146818Test, NmiMaskIsNotPartOfTheAddress) {
  Bench bench;
  EXPECT_FALSE(bench.rtc.nmi_disabled());
  bench.Out(0x80 | 0x40, 0x12);
  EXPECT_TRUE(bench.rtc.nmi_disabled());
  EXPECT_EQ(bench.In(0x40), 0x12);
  EXPECT_FALSE(bench.rtc.nmi_disabled());
}

TEST(Mc146818Test, WideAccessesAreBytesInARow) {
  Bench bench;
  const std::array both{std::byte{0x41}, std::byte{0x99}, std::byte{0x11},
                        std::byte{0x22}};
  EXPECT_EQ(bench.rtc.Write(0, both), IoResult::kDone);
  EXPECT_EQ(bench.In(0x41), 0x99);
  bench.Index(0x41);
  std::array<std::byte, 4> data{};
  EXPECT_EQ(bench.rtc.Read(0, data), IoResult::kDone);
  EXPECT_THAT(data, ElementsAre(std::byte{0xff}, std::byte{0x99},
                                std::byte{0xff}, std::byte{0xff}));
  EXPECT_EQ(bench.rtc.Read(1000, data), IoResult::kDone);
  EXPECT_THAT(data, Each(std::byte{0xff}));
  EXPECT_EQ(bench.rtc.Write(2, both), IoResult::kDone);
  EXPECT_EQ(bench.rtc.Write(~uint64_t{0}, std::span(both).first(1)),
            IoResult::kDone);
  EXPECT_EQ(bench.In(0x41), 0x99);
}

TEST(Mc146818Test, UpdateEndedInterrupt) {
  Bench bench;
  bench.clock.Advance(absl::Milliseconds(300));
  EXPECT_EQ(bench.moved, 0);
  bench.Out(Register::kB, B24Hour::kMask | BUpdateEnable::kMask);
  EXPECT_EQ(bench.moved, 1);
  EXPECT_EQ(bench.Wait(), absl::Milliseconds(700));
  // Too early: nothing.
  bench.rtc.OnDeadline();
  EXPECT_THAT(bench.levels, IsEmpty());
  bench.clock.Advance(absl::Milliseconds(700));
  bench.rtc.OnDeadline();
  EXPECT_THAT(bench.levels, ElementsAre(true));
  // Nothing more until it is read.
  EXPECT_EQ(bench.rtc.NextDeadline(), absl::InfiniteDuration());
  bench.clock.Advance(absl::Seconds(5));
  bench.rtc.OnDeadline();
  EXPECT_THAT(bench.levels, ElementsAre(true));
  // With the periodic flag, which nobody enabled.
  EXPECT_EQ(bench.In(Register::kC), 0xd0);
  EXPECT_THAT(bench.levels, ElementsAre(true, false));
  EXPECT_EQ(bench.moved, 2);
  EXPECT_EQ(bench.Wait(), absl::Seconds(1));
  EXPECT_EQ(bench.In(Register::kC), 0x00);
}

TEST(Mc146818Test, FlagsComeWithoutTheirInterrupts) {
  Bench bench;
  bench.Out(Register::kHoursAlarm, 0xff);
  bench.Out(Register::kMinutesAlarm, 0xff);
  bench.Out(Register::kSecondsAlarm, 0x58);
  EXPECT_EQ(bench.In(Register::kC), 0x00);
  bench.clock.Advance(absl::Milliseconds(1));
  EXPECT_EQ(bench.In(Register::kC), CPeriodic::kMask);
  bench.clock.Advance(absl::Seconds(1));
  EXPECT_EQ(bench.In(Register::kC), kCFlags);
  bench.clock.Advance(absl::Seconds(1));
  EXPECT_EQ(bench.In(Register::kC), CPeriodic::kMask | CUpdate::kMask);
  EXPECT_THAT(bench.levels, IsEmpty());
}

TEST(Mc146818Test, EnablingAFlagThatIsSetInterruptsAtOnce) {
  Bench bench;
  bench.clock.Advance(absl::Seconds(2));
  bench.Out(Register::kB, B24Hour::kMask | BUpdateEnable::kMask);
  EXPECT_THAT(bench.levels, ElementsAre(true));
  bench.Out(Register::kB, B24Hour::kMask);
  EXPECT_THAT(bench.levels, ElementsAre(true, false));
  // The flags wait for a read.
  EXPECT_EQ(bench.In(Register::kC), CPeriodic::kMask | CUpdate::kMask);
}

TEST(Mc146818Test, SetClearsUpdateEnableAndStopsUpdates) {
  Bench bench;
  bench.Out(Register::kB, B24Hour::kMask | BUpdateEnable::kMask);
  bench.Out(Register::kB, BSet::kMask | B24Hour::kMask | BUpdateEnable::kMask);
  EXPECT_EQ(bench.In(Register::kB), BSet::kMask | B24Hour::kMask);
  bench.clock.Advance(absl::Seconds(2));
  EXPECT_EQ(bench.In(Register::kC), CPeriodic::kMask);
  EXPECT_EQ(bench.rtc.NextDeadline(), absl::InfiniteDuration());
}

TEST(Mc146818Test, PeriodicRates) {
  // Table 5, at 32.768 kHz.
  constexpr int kHz[] = {0,   256, 128, 8192, 4096, 2048, 1024, 512,
                         256, 128, 64,  32,   16,   8,    4,    2};
  for (uint8_t rate = 0; rate < 16; ++rate) {
    SCOPED_TRACE(int{rate});
    Bench bench;
    bench.Out(Register::kA, kDivider | rate);
    bench.Out(Register::kB, B24Hour::kMask | BPeriodicEnable::kMask);
    int interrupts = 0;
    while (bench.rtc.NextDeadline() <= absl::Seconds(2)) {
      bench.clock.Advance(bench.Wait());
      bench.rtc.OnDeadline();
      EXPECT_EQ(bench.In(Register::kC) & 0xc0, 0xc0);
      ++interrupts;
    }
    EXPECT_EQ(interrupts, 2 * kHz[rate]);
    EXPECT_EQ(bench.levels.size(), 4u * kHz[rate]);
  }
}

TEST(Mc146818Test, PeriodicInterruptsMergeWhenNobodyCalls) {
  Bench bench;
  bench.Out(Register::kA, kDivider | 15);
  bench.Out(Register::kB, B24Hour::kMask | BPeriodicEnable::kMask);
  EXPECT_EQ(bench.Wait(), absl::Milliseconds(500));
  bench.clock.Advance(absl::Milliseconds(1700));
  // Overdue: now.
  EXPECT_LE(bench.rtc.NextDeadline(), bench.clock.Monotonic());
  EXPECT_EQ(bench.In(Register::kC), 0xd0);
  EXPECT_EQ(bench.Wait(), absl::Milliseconds(300));
}

TEST(Mc146818Test, PeriodicInterruptStopsWithTheDividerOnly) {
  Bench bench;
  bench.Out(Register::kA, kDivider | 15);
  bench.Out(Register::kB,
            BSet::kMask | B24Hour::kMask | BPeriodicEnable::kMask);
  EXPECT_EQ(bench.Wait(), absl::Milliseconds(500));
  bench.Out(Register::kA, kDividerHeld | 15);
  EXPECT_EQ(bench.rtc.NextDeadline(), absl::InfiniteDuration());
  bench.clock.Advance(absl::Seconds(3));
  EXPECT_EQ(bench.In(Register::kC), 0);
}

TEST(Mc146818Test, Alarms) {
  const struct {
    const char* name;
    uint8_t format;
    uint8_t hours, minutes, seconds;
    // From 23:58:57; negative if there is none.
    int64_t wait;
  } kTable[] = {
      {"next second", 0x02, 0x23, 0x58, 0x58, 1},
      {"this second has gone", 0x02, 0x23, 0x58, 0x57, 86400},
      {"the second before", 0x02, 0x23, 0x58, 0x56, 86399},
      {"next minute", 0x02, 0x23, 0x59, 0x00, 3},
      {"midnight", 0x02, 0x00, 0x00, 0x00, 63},
      {"in the morning", 0x02, 0x06, 0x30, 0x15, 63 + 6 * 3600 + 1815},
      {"every second", 0x02, 0xff, 0xff, 0xff, 1},
      {"every second, lowest code", 0x02, 0xc0, 0xc0, 0xc0, 1},
      {"every minute", 0x02, 0xc0, 0xff, 0x56, 59},
      {"every hour", 0x02, 0xff, 0x58, 0x00, 3543},
      {"every second of a minute", 0x02, 0xff, 0x05, 0xff, 63 + 300},
      {"every second of an hour", 0x02, 0x22, 0xff, 0xff, 63 + 22 * 3600},
      {"every minute of an hour", 0x02, 0x23, 0xff, 0x57, 60},
      {"each hour's second", 0x02, 0xff, 0x59, 0x10, 13},
      {"no such minute", 0x02, 0x23, 0x60, 0x00, -1},
      {"no such hour", 0x02, 0x24, 0xff, 0xff, -1},
      {"binary against bcd", 0x02, 0x23, 0x3b, 0x00, -1},
      {"binary", 0x06, 23, 59, 1, 4},
      {"twelve hours, evening", 0x00, 0x91, 0x59, 0x00, 3},
      {"twelve hours, morning", 0x00, 0x11, 0x59, 0x00, 63 + 43140},
      {"twelve hours, midnight", 0x00, 0x12, 0x00, 0x00, 63},
      {"twelve hours, noon", 0x00, 0x92, 0x00, 0x00, 63 + 43200},
      {"twelve hours, no such hour", 0x00, 0x00, 0x00, 0x00, -1},
  };
  for (const auto& row : kTable) {
    SCOPED_TRACE(row.name);
    Bench bench;
    bench.Out(Register::kHoursAlarm, row.hours);
    bench.Out(Register::kMinutesAlarm, row.minutes);
    bench.Out(Register::kSecondsAlarm, row.seconds);
    bench.Out(Register::kB,
              static_cast<uint8_t>(row.format | BAlarmEnable::kMask));
    if (row.wait < 0) {
      EXPECT_EQ(bench.rtc.NextDeadline(), absl::InfiniteDuration());
      bench.clock.Advance(absl::Hours(48));
      EXPECT_EQ(CAlarm::Get(bench.In(Register::kC)), 0);
      continue;
    }
    EXPECT_EQ(bench.Wait(), absl::Seconds(row.wait));
    bench.clock.Advance(absl::Seconds(row.wait) - kTick);
    bench.rtc.OnDeadline();
    EXPECT_THAT(bench.levels, IsEmpty());
    bench.clock.Advance(kTick);
    bench.rtc.OnDeadline();
    EXPECT_THAT(bench.levels, ElementsAre(true));
    EXPECT_EQ(bench.In(Register::kC) & 0xa0, 0xa0);
  }
}

TEST(Mc146818Test, ALateAlarmIsNotMissed) {
  Bench bench;
  bench.Out(Register::kHoursAlarm, 0x00);
  bench.Out(Register::kB, B24Hour::kMask | BAlarmEnable::kMask);
  bench.clock.Advance(absl::Hours(5));
  bench.rtc.OnDeadline();
  EXPECT_EQ(CAlarm::Get(bench.In(Register::kC)), 1);
  EXPECT_THAT(bench.levels, ElementsAre(true, false));
}

TEST(Mc146818Test, WritingAnAlarmMovesTheDeadline) {
  Bench bench;
  bench.Out(Register::kHoursAlarm, 0x12);
  bench.Out(Register::kB, B24Hour::kMask | BAlarmEnable::kMask);
  EXPECT_EQ(bench.moved, 1);
  bench.Out(Register::kHoursAlarm, 0x06);
  EXPECT_EQ(bench.moved, 2);
  // Later: nobody needs to know.
  bench.Out(Register::kHoursAlarm, 0x07);
  EXPECT_EQ(bench.moved, 2);
  // Setting the time moves it too.
  bench.Out(Register::kHours, 0x06);
  EXPECT_EQ(bench.moved, 3);
}

TEST(Mc146818Test, AClockSetBackDoesNotStopTheInterrupts) {
  Bench bench;
  bench.Out(Register::kB, B24Hour::kMask | BUpdateEnable::kMask);
  bench.Run(absl::Seconds(1));
  bench.In(Register::kC);
  bench.clock.SetNow(absl::FromUnixSeconds(kStart) - absl::Hours(24));
  EXPECT_EQ(bench.Wait(), absl::Seconds(1));
  bench.Run(absl::Seconds(1));
  EXPECT_EQ(bench.In(Register::kC), 0xd0);
}

TEST(Mc146818Test, ResetClearsEnablesAndFlags) {
  Bench bench;
  bench.Out(Register::kA, kDivider | 3);
  bench.Out(Register::kB, 0x7f);
  bench.Run(absl::Seconds(1));
  EXPECT_THAT(bench.levels, ElementsAre(true));
  bench.rtc.Reset();
  EXPECT_THAT(bench.levels, ElementsAre(true, false));
  EXPECT_EQ(bench.In(Register::kB), 0x07);
  EXPECT_EQ(bench.In(Register::kA), kDivider | 3);
  EXPECT_EQ(bench.In(Register::kC), 0x00);
  EXPECT_EQ(bench.rtc.NextDeadline(), absl::InfiniteDuration());
}

TEST(Mc146818Test, NullCallbacksAreAllowed) {
  ManualClock clock;
  Mc146818 rtc(clock, {});
  const std::array enable{std::byte{0x0b}, std::byte{0x72}};
  rtc.Write(0, enable);
  clock.Advance(absl::Seconds(1));
  rtc.OnDeadline();
  EXPECT_EQ(rtc.Save().flags, CPeriodic::kMask | CUpdate::kMask);
}

TEST(Mc146818Test, CallbacksMayCallBack) {
  ManualClock clock;
  Mc146818* self = nullptr;
  int read = 0;
  int asked = 0;
  Mc146818 rtc(clock, {.interrupt =
                           [&](bool level) {
                             if (!level) return;
                             const std::array c{std::byte{0x0c}};
                             self->Write(0, c);
                             std::array<std::byte, 1> data{};
                             self->Read(1, data);
                             read = static_cast<int>(data[0]);
                           },
                       .deadline_moved =
                           [&] {
                             ++asked;
                             EXPECT_EQ(self->NextDeadline(),
                                       absl::Seconds(asked));
                           }});
  self = &rtc;
  const std::array rate{std::byte{0x0a}, std::byte{0x20}};
  rtc.Write(0, rate);
  const std::array enable{std::byte{0x0b}, std::byte{0x12}};
  rtc.Write(0, enable);
  EXPECT_EQ(asked, 1);
  clock.Advance(absl::Milliseconds(1000));
  rtc.OnDeadline();
  EXPECT_EQ(read, 0x90);
  EXPECT_EQ(rtc.Save().flags, 0);
}

TEST(Mc146818Test, SaveAndRestore) {
  Bench first;
  first.Out(Register::kHoursAlarm, 0x00);
  first.Out(0x80 | 0x40, 0x66);
  first.SetTime({0x20, 0x30, 0x06, 0x15, 0x10, 0x20, 0x30});
  first.Out(Register::kDayOfWeek, 3);
  first.Out(Register::kB,
            B24Hour::kMask | BUpdateEnable::kMask | BAlarmEnable::kMask);
  first.Index(0x80 | 0x40);
  first.clock.Advance(absl::Milliseconds(1100));
  const Mc146818State state = first.rtc.Save();
  EXPECT_EQ(state.flags, CUpdate::kMask | CPeriodic::kMask);
  // Saving tells nobody.
  EXPECT_THAT(first.levels, IsEmpty());

  Bench second;
  second.clock.Advance(absl::Milliseconds(1100));
  EXPECT_THAT(second.rtc.Restore(state), IsOk());
  EXPECT_EQ(second.rtc.Save(), state);
  EXPECT_THAT(second.levels, ElementsAre(true));
  EXPECT_EQ(second.moved, 1);
  EXPECT_TRUE(second.rtc.nmi_disabled());
  EXPECT_THAT(second.Time(),
              ElementsAre(0x20, 0x30, 0x06, 0x15, 0x10, 0x20, 0x31));
  EXPECT_EQ(second.In(Register::kDayOfWeek), 3);
  EXPECT_EQ(second.In(0x40), 0x66);
  EXPECT_EQ(second.In(Register::kC), 0xd0);
}

TEST(Mc146818Test, WhatPassedBetweenSaveAndRestoreIsCaughtUpWith) {
  Bench first;
  first.Out(Register::kHoursAlarm, 0x00);
  first.Out(Register::kB, B24Hour::kMask | BAlarmEnable::kMask);
  const Mc146818State state = first.rtc.Save();
  Bench second;
  second.clock.Advance(absl::Minutes(2));
  EXPECT_THAT(second.rtc.Restore(state), IsOk());
  EXPECT_LE(second.rtc.NextDeadline(), second.clock.Monotonic());
  second.rtc.OnDeadline();
  EXPECT_THAT(second.levels, ElementsAre(true));
}

TEST(Mc146818Test, RestoreOfAStoppedClock) {
  Bench first;
  first.Out(Register::kB, BSet::kMask | B24Hour::kMask);
  first.Out(Register::kSeconds, 0x99);
  Bench second;
  EXPECT_THAT(second.rtc.Restore(first.rtc.Save()), IsOk());
  second.clock.Advance(absl::Seconds(5));
  EXPECT_EQ(second.In(Register::kSeconds), 0x99);
  EXPECT_EQ(second.In(Register::kMinutes), 0x58);
}

TEST(Mc146818Test, GuestAndHostAtOnce) {
  std::atomic<bool> line = false;
  std::atomic<int> moved = 0;
  ManualClock clock;
  Mc146818 rtc(clock, {.interrupt =
                           [&](bool level) {
                             // In order, and by change only.
                             EXPECT_NE(line.exchange(level), level);
                           },
                       .deadline_moved = [&] { ++moved; }});
  constexpr int kRounds = 2000;
  std::thread guest([&] {
    const std::array enable{std::byte{0x0b}, std::byte{0x72}};
    const std::array flags{std::byte{0x0c}};
    std::array<std::byte, 2> data;
    for (int i = 0; i < kRounds; ++i) {
      rtc.Write(0, enable);
      rtc.Write(0, flags);
      rtc.Read(0, data);
    }
  });
  std::thread host([&] {
    for (int i = 0; i < kRounds; ++i) {
      clock.Advance(absl::Milliseconds(100));
      rtc.OnDeadline();
    }
  });
  guest.join();
  host.join();
  EXPECT_GT(moved, 0);
  rtc.Reset();
  EXPECT_FALSE(line);
}

TEST(Mc146818Test, RestoreRefusesWhatNoDeviceReached) {
  const struct {
    const char* field;
    const char* value;
    void (*spoil)(Mc146818State&);
  } kTable[] = {
      {"register_a", "0xa6", [](Mc146818State& s) { s.register_a = 0xa6; }},
      {"register_b", "0x92", [](Mc146818State& s) { s.register_b = 0x92; }},
      {"flags", "0x80", [](Mc146818State& s) { s.flags = 0x80; }},
      {"weekday_offset", "7", [](Mc146818State& s) { s.weekday_offset = 7; }},
      {"offset", "inf",
       [](Mc146818State& s) { s.offset = absl::InfiniteDuration(); }},
      {"offset", "-inf",
       [](Mc146818State& s) { s.offset = -absl::InfiniteDuration(); }},
      {"accounted", "inf",
       [](Mc146818State& s) { s.accounted = absl::InfiniteFuture(); }},
      {"accounted", "-inf",
       [](Mc146818State& s) { s.accounted = absl::InfinitePast(); }},
  };
  for (const auto& row : kTable) {
    Bench bench;
    const Mc146818State before = bench.rtc.Save();
    Mc146818State state;
    state.memory[0x20] = 1;
    row.spoil(state);
    EXPECT_THAT(bench.rtc.Restore(state),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         AllOf(HasSubstr(row.field), HasSubstr(row.value))));
    EXPECT_EQ(bench.rtc.Save(), before);
  }
}

}  // namespace
}  // namespace libvmm
