// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/power/acpi_pm.h"

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <thread>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/base/manual_clock.h"
#include "libvmm/devices/io_device.h"
#include "libvmm/devices/power/acpi_pm_registers.h"
#include "libvmm/devices/power/acpi_pm_state.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm {
namespace {

using namespace acpi_pm;  // NOLINT: the specification's names.
using ::libvmm::testing::IsOk;
using ::libvmm::testing::StatusIs;
using ::testing::AllOf;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr uint16_t kAcpi = Pm1SciEnable::kMask;

// A clock, a device, and a host that keeps what comes out of it.
class Bench {
 public:
  explicit Bench(AcpiPm::Options options = {})
      : pm(clock, WithCallbacks(std::move(options))) {}

  uint64_t Load(uint64_t offset, size_t size) {
    std::array<std::byte, 8> data{};
    EXPECT_EQ(pm.Read(offset, std::span(data).first(size)), IoResult::kDone);
    uint64_t value = 0;
    for (size_t i = 0; i < size; ++i) {
      value |= static_cast<uint64_t>(data[i]) << (8 * i);
    }
    return value;
  }
  IoResult Store(uint64_t offset, uint64_t value, size_t size) {
    std::array<std::byte, 8> data{};
    for (size_t i = 0; i < size; ++i) {
      data[i] = static_cast<std::byte>(value >> (8 * i));
    }
    return pm.Write(offset, std::span(data).first(size));
  }
  uint16_t In(Register reg) {
    return static_cast<uint16_t>(Load(static_cast<uint64_t>(reg), 2));
  }
  void Out(Register reg, uint16_t value) {
    EXPECT_EQ(Store(static_cast<uint64_t>(reg), value, 2), IoResult::kDone);
  }
  uint32_t Timer() {
    return static_cast<uint32_t>(
        Load(static_cast<uint64_t>(Register::kPmTimer), 4));
  }
  void Smi(uint8_t command) {
    const std::array data{std::byte{command}};
    EXPECT_EQ(pm.smi_port().Write(0, data), IoResult::kDone);
  }

  ManualClock clock;
  AcpiPm pm;
  std::vector<bool> levels;
  std::vector<int> sleeps;
  int released = 0;
  int moved = 0;

 private:
  AcpiPm::Options WithCallbacks(AcpiPm::Options options) {
    options.sci = [this](bool level) { levels.push_back(level); };
    options.sleep = [this](uint8_t type) { sleeps.push_back(type); };
    options.global_release = [this] { ++released; };
    options.deadline_moved = [this] { ++moved; };
    return options;
  }
};

TEST(AcpiPmTest, ResetValues) {
  Bench bench;
  EXPECT_EQ(bench.In(Register::kPm1Status), 0);
  EXPECT_EQ(bench.In(Register::kPm1Enable), 0);
  EXPECT_EQ(bench.In(Register::kPm1Control), 0);
  EXPECT_EQ(bench.Load(6, 2), 0xffffu);
  EXPECT_EQ(bench.Timer(), 0u);
  EXPECT_EQ(bench.In(Register::kGpe0Status), 0);
  EXPECT_EQ(bench.In(Register::kGpe0Enable), 0);
  EXPECT_EQ(bench.pm.NextDeadline(), absl::InfiniteDuration());
  EXPECT_THAT(bench.levels, IsEmpty());
}

TEST(AcpiPmTest, WritableBits) {
  const struct {
    Register reg;
    uint16_t kept;
  } kTable[] = {
      {Register::kPm1Status, 0x0000},  {Register::kPm1Enable, 0x0721},
      {Register::kPm1Control, 0x1c02}, {Register::kGpe0Status, 0x0000},
      {Register::kGpe0Enable, 0xffff},
  };
  for (const auto& row : kTable) {
    for (const uint16_t value : {0x0000, 0x5555, 0xaaaa, 0xffff}) {
      Bench bench;
      // SLP_EN is among them: the result is not looked at.
      bench.Store(static_cast<uint64_t>(row.reg), value, 2);
      EXPECT_EQ(bench.In(row.reg), value & row.kept)
          << static_cast<int>(row.reg) << " " << value;
    }
  }
}

TEST(AcpiPmTest, SmiCommandsSwitchAcpiOnAndOff) {
  Bench bench;
  bench.Smi(0x42);
  EXPECT_EQ(bench.In(Register::kPm1Control), 0);
  bench.Smi(kAcpiEnable);
  EXPECT_EQ(bench.In(Register::kPm1Control), kAcpi);
  // Writing does neither.
  bench.Out(Register::kPm1Control, 0);
  EXPECT_EQ(bench.In(Register::kPm1Control), kAcpi);
  bench.Smi(kAcpiDisable);
  EXPECT_EQ(bench.In(Register::kPm1Control), 0);
  bench.Out(Register::kPm1Control, kAcpi);
  EXPECT_EQ(bench.In(Register::kPm1Control), 0);
}

TEST(AcpiPmTest, AlwaysAcpi) {
  Bench bench({.always_acpi = true});
  EXPECT_EQ(bench.In(Register::kPm1Control), kAcpi);
  bench.Smi(kAcpiDisable);
  EXPECT_EQ(bench.In(Register::kPm1Control), kAcpi);
  bench.pm.Reset();
  EXPECT_EQ(bench.In(Register::kPm1Control), kAcpi);
}

TEST(AcpiPmTest, SmiPortKeepsItsBytes) {
  Bench bench;
  const std::array two{std::byte{0x12}, std::byte{0x34}, std::byte{0x56}};
  EXPECT_EQ(bench.pm.smi_port().Write(0, two), IoResult::kDone);
  std::array<std::byte, 4> data{};
  EXPECT_EQ(bench.pm.smi_port().Read(0, data), IoResult::kDone);
  EXPECT_THAT(data, ElementsAre(std::byte{0x12}, std::byte{0x34},
                                std::byte{0xff}, std::byte{0xff}));
  EXPECT_EQ(bench.pm.smi_port().Write(~uint64_t{0}, std::span(two).first(1)),
            IoResult::kDone);
  EXPECT_EQ(bench.pm.smi_port().Read(1, std::span(data).first(1)),
            IoResult::kDone);
  EXPECT_EQ(data[0], std::byte{0x34});
  bench.pm.Reset();
  EXPECT_EQ(bench.pm.smi_port().Read(0, std::span(data).first(2)),
            IoResult::kDone);
  EXPECT_THAT(std::span(data).first(2), Each(std::byte{0}));
}

TEST(AcpiPmTest, PowerButtonInterrupts) {
  Bench bench;
  bench.Smi(kAcpiEnable);
  bench.Out(Register::kPm1Enable, Pm1PowerButton::kMask);
  bench.pm.PressPowerButton();
  EXPECT_EQ(bench.In(Register::kPm1Status), 0x0100);
  EXPECT_THAT(bench.levels, ElementsAre(true));
  bench.pm.PressPowerButton();
  EXPECT_THAT(bench.levels, ElementsAre(true));
  // Writing zeros and other bits clears nothing.
  bench.Out(Register::kPm1Status, static_cast<uint16_t>(~0x0100));
  EXPECT_EQ(bench.In(Register::kPm1Status), 0x0100);
  bench.Out(Register::kPm1Status, Pm1PowerButton::kMask);
  EXPECT_EQ(bench.In(Register::kPm1Status), 0);
  EXPECT_THAT(bench.levels, ElementsAre(true, false));
}

TEST(AcpiPmTest, SciNeedsStatusEnableAndAcpi) {
  for (const uint16_t event :
       {Pm1Timer::kMask, Pm1Global::kMask, Pm1PowerButton::kMask,
        Pm1SleepButton::kMask, Pm1Rtc::kMask}) {
    SCOPED_TRACE(event);
    Bench bench;
    bench.pm.Raise(event);
    EXPECT_EQ(bench.In(Register::kPm1Status), event);
    bench.Out(Register::kPm1Enable, static_cast<uint16_t>(~event));
    bench.Smi(kAcpiEnable);
    EXPECT_THAT(bench.levels, IsEmpty());
    bench.Out(Register::kPm1Enable, event);
    EXPECT_THAT(bench.levels, ElementsAre(true));
    bench.Smi(kAcpiDisable);
    EXPECT_THAT(bench.levels, ElementsAre(true, false));
    bench.Smi(kAcpiEnable);
    bench.Out(Register::kPm1Enable, 0);
    EXPECT_THAT(bench.levels, ElementsAre(true, false, true, false));
  }
}

TEST(AcpiPmTest, RaiseIgnoresOtherBits) {
  Bench bench;
  bench.pm.Raise(0xffff);
  EXPECT_EQ(bench.In(Register::kPm1Status), 0x0721);
  bench.pm.PressSleepButton();
  bench.Out(Register::kPm1Status, 0xffff);
  bench.pm.PressSleepButton();
  EXPECT_EQ(bench.In(Register::kPm1Status), 0x0200);
}

TEST(AcpiPmTest, WakeSetsItsStatusAndDoesNotInterrupt) {
  Bench bench({.always_acpi = true});
  bench.Out(Register::kPm1Enable, 0xffff);
  bench.pm.Wake();
  EXPECT_EQ(bench.In(Register::kPm1Status), 0x8000);
  EXPECT_THAT(bench.levels, IsEmpty());
  bench.Out(Register::kPm1Status, 0x8000);
  EXPECT_EQ(bench.In(Register::kPm1Status), 0);
}

TEST(AcpiPmTest, GeneralPurposeEvents) {
  for (uint8_t gpe = 0; gpe < kGpe0Count; ++gpe) {
    SCOPED_TRACE(int{gpe});
    const auto bit = static_cast<uint16_t>(1 << gpe);
    Bench bench({.always_acpi = true});
    bench.pm.RaiseGpe(gpe);
    EXPECT_EQ(bench.In(Register::kGpe0Status), bit);
    bench.Out(Register::kGpe0Enable, static_cast<uint16_t>(~bit));
    EXPECT_THAT(bench.levels, IsEmpty());
    bench.Out(Register::kGpe0Enable, bit);
    EXPECT_THAT(bench.levels, ElementsAre(true));
    bench.Out(Register::kGpe0Status, bit);
    EXPECT_THAT(bench.levels, ElementsAre(true, false));
    EXPECT_EQ(bench.In(Register::kGpe0Status), 0);
  }
  Bench bench;
  bench.pm.RaiseGpe(kGpe0Count);
  bench.pm.RaiseGpe(32);
  bench.pm.RaiseGpe(255);
  EXPECT_EQ(bench.In(Register::kGpe0Status), 0);
}

TEST(AcpiPmTest, SleepTellsTheTypeAndStops) {
  for (uint16_t type = 0; type < 8; ++type) {
    Bench bench;
    const uint16_t with_type = Pm1SleepType::Of(type);
    // Linux writes the type first, then both.
    EXPECT_EQ(bench.Store(4, with_type, 2), IoResult::kDone);
    EXPECT_THAT(bench.sleeps, IsEmpty());
    EXPECT_EQ(bench.Store(4, with_type | Pm1SleepEnable::kMask, 2),
              IoResult::kStop);
    EXPECT_THAT(bench.sleeps, ElementsAre(type));
    EXPECT_EQ(bench.In(Register::kPm1Control), with_type);
  }
}

TEST(AcpiPmTest, SleepByTheHighByteAlone) {
  Bench bench;
  EXPECT_EQ(bench.Store(5, 0x34, 1), IoResult::kStop);
  EXPECT_THAT(bench.sleeps, ElementsAre(5));
  EXPECT_EQ(bench.Store(4, 0xff, 1), IoResult::kDone);
  EXPECT_THAT(bench.sleeps, ElementsAre(5));
}

TEST(AcpiPmTest, GlobalReleaseIsTold) {
  Bench bench;
  bench.Out(Register::kPm1Control, Pm1GlobalRelease::kMask);
  EXPECT_EQ(bench.released, 1);
  EXPECT_EQ(bench.In(Register::kPm1Control), 0);
  bench.Out(Register::kPm1Control, 0);
  EXPECT_EQ(bench.released, 1);
}

TEST(AcpiPmTest, OddAccessesAreThoseOfTheirBytes) {
  Bench bench;
  bench.pm.PressPowerButton();
  bench.pm.Raise(Pm1Global::kMask);
  // Status and enable in one, as ACPI's block of four bytes allows.
  EXPECT_EQ(bench.Store(0, 0x01210100, 4), IoResult::kDone);
  EXPECT_EQ(bench.Load(0, 4), 0x01210020u);
  // Unaligned, over two registers: high byte of status, low of enable.
  EXPECT_EQ(bench.Load(1, 2), 0x2100u);
  EXPECT_EQ(bench.Store(1, 0x2000, 2), IoResult::kDone);
  EXPECT_EQ(bench.Load(0, 4), 0x01200020u);
  // Three bytes, and the byte behind the block.
  EXPECT_EQ(bench.Store(14, 0xaabbcc, 3), IoResult::kDone);
  EXPECT_EQ(bench.Load(13, 4), 0xffbbcc00u);
  // Over the gap, control to timer.
  EXPECT_EQ(bench.Load(4, 8), 0x00000000ffff0000u);
  EXPECT_EQ(bench.Load(16, 8), ~uint64_t{0});
  EXPECT_EQ(bench.Load(~uint64_t{0}, 1), 0xffu);
  EXPECT_EQ(bench.Store(16, 0, 8), IoResult::kDone);
  EXPECT_EQ(bench.Store(~uint64_t{0}, 0xff, 1), IoResult::kDone);
  // No register's number is looked at modulo something.
  EXPECT_EQ(bench.Store(256, ~uint64_t{0}, 8), IoResult::kDone);
  EXPECT_EQ(bench.Load(0, 4), 0x01200020u);
}

TEST(AcpiPmTest, TimerCountsAtItsRate) {
  Bench bench;
  bench.clock.Advance(absl::Seconds(1));
  EXPECT_EQ(bench.Timer(), 3'579'545u);
  bench.clock.Advance(absl::Nanoseconds(279));
  EXPECT_EQ(bench.Timer(), 3'579'545u);
  bench.clock.Advance(absl::Nanoseconds(1));
  EXPECT_EQ(bench.Timer(), 3'579'546u);
  bench.clock.Advance(absl::Seconds(9) - absl::Nanoseconds(280));
  EXPECT_EQ(bench.Timer(), 35'795'450u);
  // Not by writing.
  EXPECT_EQ(bench.Store(8, 0, 4), IoResult::kDone);
  EXPECT_EQ(bench.Timer(), 35'795'450u);
  // A part of it.
  EXPECT_EQ(bench.Load(9, 2), (35'795'450u >> 8) & 0xffff);
}

TEST(AcpiPmTest, TimerStartsWithTheDevice) {
  ManualClock clock;
  clock.Advance(absl::Hours(1));
  AcpiPm pm(clock, {});
  EXPECT_EQ(pm.Save().timer, 0u);
}

TEST(AcpiPmTest, TimerWidths) {
  Bench narrow({.timer_32bit = false});
  Bench wide;
  narrow.clock.Advance(absl::Seconds(5));
  wide.clock.Advance(absl::Seconds(5));
  EXPECT_EQ(narrow.Timer(), 17'897'725u - 0x1000000);
  EXPECT_EQ(wide.Timer(), 17'897'725u);
  wide.clock.Advance(absl::Seconds(1195));
  EXPECT_EQ(wide.Timer(), 4'295'454'000u - 0x100000000);
}

TEST(AcpiPmTest, TimerEventWhenTheTopBitChanges) {
  for (const bool timer_32bit : {false, true}) {
    Bench bench({.timer_32bit = timer_32bit, .always_acpi = true});
    const uint64_t half = uint64_t{1} << (timer_32bit ? 31 : 23);
    bench.Out(Register::kPm1Enable, Pm1Timer::kMask);
    EXPECT_EQ(bench.moved, 1);
    for (uint64_t turn = 1; turn < 6; ++turn) {
      const absl::Duration next = bench.pm.NextDeadline();
      bench.clock.Advance(next - bench.clock.Monotonic() -
                          absl::Nanoseconds(1));
      bench.pm.OnDeadline();
      EXPECT_EQ(bench.In(Register::kPm1Status), 0);
      EXPECT_EQ(bench.levels.size(), 2 * (turn - 1));
      bench.clock.Advance(absl::Nanoseconds(1));
      EXPECT_EQ(bench.Timer() & (half - 1), 0u);
      bench.pm.OnDeadline();
      EXPECT_EQ(bench.levels.size(), 2 * turn - 1);
      EXPECT_EQ(bench.In(Register::kPm1Status), Pm1Timer::kMask);
      EXPECT_EQ(bench.pm.NextDeadline(), absl::InfiniteDuration());
      bench.Out(Register::kPm1Status, Pm1Timer::kMask);
      EXPECT_EQ(bench.levels.size(), 2 * turn);
      EXPECT_EQ(bench.moved, static_cast<int>(turn) + 1);
    }
  }
}

TEST(AcpiPmTest, TimerEventIsThereWithoutItsInterrupt) {
  Bench bench({.timer_32bit = false});
  bench.clock.Advance(absl::Seconds(2.4));
  EXPECT_EQ(bench.pm.NextDeadline(), absl::InfiniteDuration());
  EXPECT_EQ(bench.In(Register::kPm1Status), Pm1Timer::kMask);
}

TEST(AcpiPmTest, ALateCallStillSeesTheEvent) {
  Bench bench({.timer_32bit = false, .always_acpi = true});
  bench.Out(Register::kPm1Enable, Pm1Timer::kMask);
  // Two changes of the bit: as it was before.
  bench.clock.Advance(absl::Seconds(5));
  EXPECT_LE(bench.pm.NextDeadline(), bench.clock.Monotonic());
  bench.pm.OnDeadline();
  EXPECT_THAT(bench.levels, ElementsAre(true));
}

TEST(AcpiPmTest, ResetKeepsTheTimer) {
  Bench bench;
  bench.Smi(kAcpiEnable);
  bench.Out(Register::kPm1Enable, 0xffff);
  bench.Out(Register::kGpe0Enable, 0xffff);
  bench.pm.RaiseGpe(3);
  bench.clock.Advance(absl::Seconds(1));
  bench.pm.Reset();
  EXPECT_THAT(bench.levels, ElementsAre(true, false));
  EXPECT_EQ(bench.Timer(), 3'579'545u);
  AcpiPmState state;
  state.timer = 3'579'545;
  EXPECT_EQ(bench.pm.Save(), state);
  // Also one that did not begin at zero.
  EXPECT_THAT(bench.pm.Restore(state), IsOk());
  bench.pm.Reset();
  EXPECT_EQ(bench.pm.Save(), state);
}

TEST(AcpiPmTest, NullCallbacksAreAllowed) {
  ManualClock clock;
  AcpiPm pm(clock, {.always_acpi = true});
  const std::array all{std::byte{0xff}, std::byte{0xff}, std::byte{0xff},
                       std::byte{0xff}, std::byte{0xff}, std::byte{0xff}};
  EXPECT_EQ(pm.Write(0, all), IoResult::kStop);
  pm.PressPowerButton();
  EXPECT_EQ(pm.Save().pm1_status, Pm1PowerButton::kMask);
}

TEST(AcpiPmTest, CallbacksMayCallBack) {
  ManualClock clock;
  AcpiPm* self = nullptr;
  int sleeps = 0;
  std::vector<bool> levels;
  AcpiPm pm(clock, {.sci =
                        [&](bool level) {
                          levels.push_back(level);
                          // A guest that clears the event at once.
                          const std::array high{std::byte{0xff}};
                          if (level) self->Write(1, high);
                        },
                    .sleep =
                        [&](uint8_t) {
                          ++sleeps;
                          self->Reset();
                        },
                    .always_acpi = true});
  self = &pm;
  const std::array enable{std::byte{0x00}, std::byte{0x01}};
  pm.Write(2, enable);
  pm.PressPowerButton();
  EXPECT_THAT(levels, ElementsAre(true, false));
  const std::array sleep{std::byte{0x20}};
  EXPECT_EQ(pm.Write(5, sleep), IoResult::kStop);
  EXPECT_EQ(sleeps, 1);
  EXPECT_EQ(pm.Save().pm1_enable, 0);
}

TEST(AcpiPmTest, SaveAndRestore) {
  Bench first({.timer_32bit = false});
  first.Smi(kAcpiEnable);
  first.Out(Register::kPm1Enable, 0x0101);
  first.Out(Register::kPm1Control, 0x1400);
  first.Out(Register::kGpe0Enable, 0x00f0);
  first.pm.RaiseGpe(1);
  // Past a change of the timer's top bit that nobody has seen.
  first.clock.Advance(absl::Seconds(2.4));
  const AcpiPmState state = first.pm.Save();
  EXPECT_EQ(state.pm1_status, Pm1Timer::kMask);
  EXPECT_EQ(state.timer, 8'590'908u);
  EXPECT_THAT(first.levels, IsEmpty());

  Bench second({.timer_32bit = false});
  second.clock.Advance(absl::Hours(3));
  EXPECT_THAT(second.pm.Restore(state), IsOk());
  EXPECT_EQ(second.pm.Save(), state);
  EXPECT_THAT(second.levels, ElementsAre(true));
  second.clock.Advance(absl::Seconds(1));
  EXPECT_EQ(second.Timer(), 8'590'908u + 3'579'545);
  second.Out(Register::kPm1Status, Pm1Timer::kMask);
  // The next change is where the counter says, not where the clock was.
  const absl::Duration left =
      second.pm.NextDeadline() - second.clock.Monotonic();
  EXPECT_GT(left, absl::Seconds(1.2));
  EXPECT_LT(left, absl::Seconds(1.3));
}

TEST(AcpiPmTest, RestoringATimerIsNoTimerEvent) {
  Bench bench;
  AcpiPmState state;
  state.timer = 0x80000000;
  EXPECT_THAT(bench.pm.Restore(state), IsOk());
  bench.pm.OnDeadline();
  EXPECT_EQ(bench.pm.Save(), state);
}

TEST(AcpiPmTest, GuestAndHostAtOnce) {
  std::atomic<bool> line = false;
  std::atomic<int> sleeps = 0;
  ManualClock clock;
  AcpiPm pm(clock, {.sci =
                        [&](bool level) {
                          // In order, and by change only.
                          EXPECT_NE(line.exchange(level), level);
                        },
                    .sleep = [&](uint8_t) { ++sleeps; },
                    .always_acpi = true});
  constexpr int kRounds = 2000;
  std::thread guest([&] {
    const std::array enable{std::byte{0x21}, std::byte{0x07}};
    const std::array clear{std::byte{0xff}, std::byte{0xff}};
    const std::array sleep{std::byte{0x20}};
    std::array<std::byte, 8> data;
    for (int i = 0; i < kRounds; ++i) {
      pm.Write(2, enable);
      pm.Read(0, data);
      pm.Write(0, clear);
      EXPECT_EQ(pm.Write(5, sleep), IoResult::kStop);
    }
  });
  std::thread host([&] {
    for (int i = 0; i < kRounds; ++i) {
      pm.PressPowerButton();
      pm.RaiseGpe(static_cast<uint8_t>(i % kGpe0Count));
      clock.Advance(absl::Seconds(100));
      pm.OnDeadline();
    }
  });
  guest.join();
  host.join();
  EXPECT_EQ(sleeps, kRounds);
  const std::array clear{std::byte{0xff}, std::byte{0xff}};
  pm.Write(0, clear);
  EXPECT_FALSE(line);
}

TEST(AcpiPmTest, RestoreRefusesWhatNoDeviceReached) {
  const struct {
    const char* field;
    const char* value;
    void (*spoil)(AcpiPmState&);
  } kTable[] = {
      {"pm1_status", "0x2", [](AcpiPmState& s) { s.pm1_status = 2; }},
      {"pm1_enable", "0x8000", [](AcpiPmState& s) { s.pm1_enable = 0x8000; }},
      {"pm1_control", "0x2001", [](AcpiPmState& s) { s.pm1_control = 0x2001; }},
      {"pm1_control", "0x0", [](AcpiPmState& s) { s.pm1_control = 0; }},
      {"timer", "0x1000000", [](AcpiPmState& s) { s.timer = 0x1000000; }},
  };
  for (const auto& row : kTable) {
    SCOPED_TRACE(row.field);
    Bench bench({.timer_32bit = false, .always_acpi = true});
    const AcpiPmState before = bench.pm.Save();
    AcpiPmState state;
    state.pm1_control = kAcpi;
    state.gpe0_enable = 1;
    EXPECT_THAT(state.Validate(), IsOk());
    row.spoil(state);
    EXPECT_THAT(bench.pm.Restore(state),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         AllOf(HasSubstr(row.field), HasSubstr(row.value))));
    EXPECT_EQ(bench.pm.Save(), before);
  }
}

}  // namespace
}  // namespace libvmm
