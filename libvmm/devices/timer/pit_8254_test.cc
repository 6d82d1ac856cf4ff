// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/timer/pit_8254.h"

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/base/manual_clock.h"
#include "libvmm/devices/timer/pit_8254_clock.h"
#include "libvmm/devices/timer/pit_8254_registers.h"
#include "libvmm/devices/timer/pit_8254_state.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm {
namespace {

using namespace pit_8254;  // NOLINT: the datasheet's names.
using ::libvmm::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr uint8_t kHundredHz[] = {0x9c, 0x2e};  // 11932

uint8_t Control(size_t counter, Mode mode) {
  return ControlSelect::Of(static_cast<uint8_t>(counter)) |
         ControlAccess::Of(static_cast<uint8_t>(Access::kBoth)) |
         ControlMode::Of(static_cast<uint8_t>(mode));
}

// A PIT and its machine. A tick of its clock is a pulse of the PIT.
class Bench {
 public:
  explicit Bench(absl::Duration min_period = absl::ZeroDuration())
      : pit(clock, {
                       .interrupt = [this](bool level) { Told(level); },
                       .deadline_moved = [this] { ++moved; },
                       .min_interrupt_period = min_period,
                   }) {}

  void Out(Register reg, uint8_t value) {
    const std::array data{std::byte{value}};
    EXPECT_EQ(pit.Write(static_cast<uint64_t>(reg), data), IoResult::kDone);
  }
  uint8_t In(Register reg) {
    std::array<std::byte, 1> data{};
    EXPECT_EQ(pit.Read(static_cast<uint64_t>(reg), data), IoResult::kDone);
    return static_cast<uint8_t>(data[0]);
  }
  void Program(size_t counter, Mode mode, uint16_t count) {
    Out(Register::kControl, Control(counter, mode));
    Out(static_cast<Register>(counter), count & 0xff);
    Out(static_cast<Register>(counter), count >> 8);
  }
  void Pass(int64_t pulses) {
    pulses_ += pulses;
    clock.Advance(TimeOfClock(pulses_) - clock.Monotonic());
  }
  // Of the deadline, from now on; -1 for none.
  int64_t PulsesToDeadline() {
    const absl::Duration deadline = pit.NextDeadline();
    return deadline == absl::InfiniteDuration() ? -1
                                                : ClocksAt(deadline) - pulses_;
  }
  // What the interrupt callback was told since the last call: 1 and 0.
  std::string Levels() { return std::exchange(levels_, ""); }

  ManualClock clock;
  Pit8254 pit;
  int moved = 0;

 private:
  void Told(bool level) { levels_ += level ? '1' : '0'; }

  int64_t pulses_ = 0;
  std::string levels_;
};

TEST(Pit8254Test, IsSilentAtFirst) {
  Bench bench;
  EXPECT_EQ(bench.pit.NextDeadline(), absl::InfiniteDuration());
  bench.Pass(1'000'000);
  bench.pit.OnDeadline();
  EXPECT_EQ(bench.Levels(), "");
  EXPECT_EQ(bench.moved, 0);
  for (size_t counter = 0; counter < kCounterCount; ++counter) {
    EXPECT_FALSE(bench.pit.Output(counter));
  }
  EXPECT_EQ(bench.pit.Save(), Pit8254State());
}

TEST(Pit8254Test, RateGeneratorTicksOnceAPeriod) {
  Bench bench;
  bench.Program(0, Mode::kRate, 1000);
  EXPECT_EQ(bench.Levels(), "1");  // OUT of mode 2 is high.
  EXPECT_EQ(bench.moved, 1);
  // Loaded with the next pulse.
  EXPECT_EQ(bench.PulsesToDeadline(), 1001);
  bench.Pass(1000);
  bench.pit.OnDeadline();
  EXPECT_EQ(bench.Levels(), "");
  bench.Pass(1);
  bench.pit.OnDeadline();
  EXPECT_EQ(bench.Levels(), "01");
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(bench.PulsesToDeadline(), 1000);
    bench.Pass(1000);
    bench.pit.OnDeadline();
    bench.pit.OnDeadline();
    EXPECT_EQ(bench.Levels(), "01");
  }
  EXPECT_EQ(bench.moved, 1);
}

TEST(Pit8254Test, AHundredTicksASecond) {
  Bench bench;
  bench.Out(Register::kControl, Control(0, Mode::kRate));
  bench.Out(Register::kCounter0, kHundredHz[0]);
  bench.Out(Register::kCounter0, kHundredHz[1]);
  bench.Levels();
  int ticks = 0;
  while (bench.pit.NextDeadline() <= absl::Seconds(10)) {
    bench.clock.Advance(bench.pit.NextDeadline() - bench.clock.Monotonic());
    bench.pit.OnDeadline();
    EXPECT_EQ(bench.Levels(), "01");
    ++ticks;
  }
  // 11,931,818 pulses.
  EXPECT_EQ(ticks, 999);
}

TEST(Pit8254Test, SquareWaveTicksAtItsRises) {
  Bench bench;
  bench.Program(0, Mode::kSquareWave, 0);
  EXPECT_EQ(bench.Levels(), "1");
  EXPECT_EQ(bench.PulsesToDeadline(), 65'537);
  bench.Pass(1 + 40'000);
  // OUT falls half way; the callback hears of it with the rise.
  EXPECT_FALSE(bench.pit.Output(0));
  bench.pit.OnDeadline();
  EXPECT_EQ(bench.Levels(), "");
  bench.Pass(65'536 - 40'000);
  bench.pit.OnDeadline();
  EXPECT_EQ(bench.Levels(), "01");
  EXPECT_EQ(bench.PulsesToDeadline(), 65'536);
}

TEST(Pit8254Test, TerminalCountInterruptsOnce) {
  Bench bench;
  bench.Program(0, Mode::kTerminalCount, 500);
  EXPECT_EQ(bench.Levels(), "");
  EXPECT_EQ(bench.PulsesToDeadline(), 501);
  bench.Pass(501);
  bench.pit.OnDeadline();
  EXPECT_EQ(bench.Levels(), "1");
  EXPECT_EQ(bench.PulsesToDeadline(), -1);
  bench.Pass(70'000);
  bench.pit.OnDeadline();
  EXPECT_EQ(bench.Levels(), "");
  // OUT falls with the first byte of the next count.
  bench.Out(Register::kCounter0, 10);
  EXPECT_EQ(bench.Levels(), "0");
  EXPECT_EQ(bench.PulsesToDeadline(), -1);
  bench.Out(Register::kCounter0, 0);
  EXPECT_EQ(bench.PulsesToDeadline(), 11);
  EXPECT_EQ(bench.moved, 2);
}

// How Linux uses it without a better timer.
TEST(Pit8254Test, SoftwareStrobeInterruptsOnceForEachCount) {
  Bench bench;
  bench.Out(Register::kControl, Control(0, Mode::kSoftwareStrobe));
  EXPECT_EQ(bench.Levels(), "1");
  for (int i = 0; i < 3; ++i) {
    bench.Out(Register::kCounter0, 100);
    bench.Out(Register::kCounter0, 0);
    // The strobe is low for a pulse, and interrupts when it ends.
    EXPECT_EQ(bench.PulsesToDeadline(), 102);
    bench.Pass(102);
    bench.pit.OnDeadline();
    EXPECT_EQ(bench.Levels(), "01");
    EXPECT_EQ(bench.PulsesToDeadline(), -1);
  }
}

TEST(Pit8254Test, OneShotFollowsItsGate) {
  Bench bench;
  bench.Program(0, Mode::kOneShot, 50);
  EXPECT_EQ(bench.Levels(), "1");
  EXPECT_EQ(bench.PulsesToDeadline(), -1);
  bench.pit.SetGate(0, false);
  bench.pit.SetGate(0, true);
  EXPECT_EQ(bench.PulsesToDeadline(), 51);
  bench.Pass(1);
  bench.pit.OnDeadline();
  EXPECT_EQ(bench.Levels(), "0");
  bench.Pass(50);
  bench.pit.OnDeadline();
  EXPECT_EQ(bench.Levels(), "1");
}

TEST(Pit8254Test, AGateThatFallsInTheLowHalfInterrupts) {
  Bench bench;
  bench.Program(0, Mode::kSquareWave, 100);
  EXPECT_EQ(bench.Levels(), "1");
  bench.Pass(1 + 60);
  EXPECT_FALSE(bench.pit.Output(0));
  bench.pit.SetGate(0, false);
  EXPECT_TRUE(bench.pit.Output(0));
  EXPECT_EQ(bench.Levels(), "01");
  EXPECT_EQ(bench.PulsesToDeadline(), -1);
}

TEST(Pit8254Test, LateTicksAreOne) {
  Bench bench;
  bench.Program(0, Mode::kRate, 1000);
  bench.Levels();
  bench.Pass(1 + 10'500);
  bench.pit.OnDeadline();
  EXPECT_EQ(bench.Levels(), "01");
  // In step with the clock, not with the call.
  EXPECT_EQ(bench.PulsesToDeadline(), 500);
}

TEST(Pit8254Test, AnAccessTellsWhatIsDueAsWell) {
  Bench bench;
  bench.Program(0, Mode::kRate, 1000);
  bench.Levels();
  bench.Pass(1001);
  bench.In(Register::kCounter0);
  EXPECT_EQ(bench.Levels(), "01");
  bench.pit.OnDeadline();
  EXPECT_EQ(bench.Levels(), "");
}

TEST(Pit8254Test, YearsAreOneTick) {
  for (const uint16_t count : {1, 2, 3, 0}) {
    for (const Mode mode : {Mode::kTerminalCount, Mode::kRate,
                            Mode::kSquareWave, Mode::kSoftwareStrobe}) {
      Bench bench;
      bench.Program(0, mode, count);
      bench.Levels();
      bench.clock.Advance(absl::Hours(24 * 365 * 200));
      bench.pit.OnDeadline();
      const bool forbidden =
          count == 1 && (mode == Mode::kRate || mode == Mode::kSquareWave);
      EXPECT_EQ(bench.Levels(), mode == Mode::kTerminalCount ? "1"
                                : forbidden                  ? ""
                                                             : "01");
      EXPECT_GT(bench.pit.NextDeadline(), bench.clock.Monotonic());
    }
  }
}

TEST(Pit8254Test, TheEndOfTimeIsStill) {
  Bench bench;
  bench.Program(0, Mode::kRate, 1000);
  bench.clock.Advance(absl::InfiniteDuration());
  bench.pit.OnDeadline();
  bench.In(Register::kCounter0);
  EXPECT_EQ(bench.pit.NextDeadline(), absl::InfiniteDuration());
}

TEST(Pit8254Test, InterruptsKeepTheirDistance) {
  Bench bench(TimeOfClock(1000));
  bench.Program(0, Mode::kRate, 10);
  // OUT has risen with the control word.
  EXPECT_EQ(bench.Levels(), "1");
  EXPECT_EQ(bench.PulsesToDeadline(), 1000);
  bench.Pass(1000);
  bench.pit.OnDeadline();
  EXPECT_EQ(bench.Levels(), "01");
  EXPECT_EQ(bench.PulsesToDeadline(), 1000);
  // Neither early calls nor accesses bring the next one forward.
  bench.Pass(500);
  bench.pit.OnDeadline();
  bench.In(Register::kCounter0);
  EXPECT_EQ(bench.Levels(), "");
  EXPECT_EQ(bench.PulsesToDeadline(), 500);
  bench.Pass(500);
  bench.pit.OnDeadline();
  EXPECT_EQ(bench.Levels(), "01");
}

TEST(Pit8254Test, ATickTooSoonIsNotLost) {
  Bench bench(TimeOfClock(1000));
  bench.Program(0, Mode::kSoftwareStrobe, 10);
  bench.Pass(1000);
  bench.pit.OnDeadline();
  EXPECT_EQ(bench.Levels(), "101");
  bench.Out(Register::kCounter0, 10);
  bench.Out(Register::kCounter0, 0);
  bench.Pass(12);
  bench.pit.OnDeadline();
  EXPECT_EQ(bench.Levels(), "");
  EXPECT_EQ(bench.PulsesToDeadline(), 1000 - 12);
  const Pit8254State state = bench.pit.Save();
  EXPECT_TRUE(state.interrupt_due);
  EXPECT_EQ(state.quiet, 1000u - 12);
  bench.Pass(1000 - 12);
  bench.pit.OnDeadline();
  EXPECT_EQ(bench.Levels(), "01");
  EXPECT_EQ(bench.PulsesToDeadline(), -1);
}

TEST(Pit8254Test, DeadlineMovesOnlyForwardInTime) {
  Bench bench;
  bench.Program(0, Mode::kRate, 1000);
  EXPECT_EQ(bench.moved, 1);
  bench.Program(0, Mode::kRate, 2000);
  EXPECT_EQ(bench.moved, 2);  // None after the control word, then anew.
  bench.Program(1, Mode::kRate, 10);
  bench.Program(2, Mode::kRate, 10);
  EXPECT_EQ(bench.moved, 2);
  bench.pit.Reset();
  EXPECT_EQ(bench.moved, 2);
  EXPECT_EQ(bench.PulsesToDeadline(), -1);
}

TEST(Pit8254Test, CallbacksMayCallBack) {
  ManualClock clock;
  Pit8254* self = nullptr;
  int calls = 0;
  Pit8254 pit(clock, {
                         .interrupt =
                             [&](bool) {
                               ++calls;
                               self->OnDeadline();
                               EXPECT_TRUE(self->Output(0));
                             },
                         .deadline_moved =
                             [&] {
                               ++calls;
                               EXPECT_LT(self->NextDeadline(),
                                         absl::InfiniteDuration());
                             },
                     });
  self = &pit;
  const std::array data{std::byte{10}, std::byte{0}, std::byte{0},
                        std::byte{Control(0, Mode::kRate)}};
  EXPECT_EQ(pit.Write(3, std::span(data).last(1)), IoResult::kDone);
  EXPECT_EQ(pit.Write(0, std::span(data).first(1)), IoResult::kDone);
  EXPECT_EQ(pit.Write(0, std::span(data).subspan(1, 1)), IoResult::kDone);
  EXPECT_EQ(calls, 2);
}

TEST(Pit8254Test, LatchCommandsAndReadBack) {
  Bench bench;
  bench.Program(0, Mode::kRate, 0x1234);
  bench.Program(2, Mode::kTerminalCount, 0x5678);
  bench.pit.SetGate(2, true);
  bench.Pass(1);
  // Counter Latch Command of counter 2.
  bench.Out(Register::kControl, ControlSelect::Of(2));
  bench.Pass(1);
  EXPECT_EQ(bench.In(Register::kCounter2), 0x78);
  EXPECT_EQ(bench.In(Register::kCounter2), 0x56);
  EXPECT_EQ(bench.In(Register::kCounter2), 0x77);
  EXPECT_EQ(bench.In(Register::kCounter2), 0x56);

  // Read-back of count and status of 0 and 2.
  bench.Out(Register::kControl,
            ControlSelect::Of(kReadBack) | ReadBackCounters::Of(0b101));
  bench.Pass(1);
  EXPECT_EQ(bench.In(Register::kCounter0),
            StatusOut::kMask | ControlCounter::Get(Control(0, Mode::kRate)));
  EXPECT_EQ(bench.In(Register::kCounter0), 0x33);
  EXPECT_EQ(bench.In(Register::kCounter0), 0x12);
  EXPECT_EQ(bench.In(Register::kCounter2),
            ControlCounter::Get(Control(0, Mode::kTerminalCount)));
  EXPECT_EQ(bench.In(Register::kCounter2), 0x77);
  EXPECT_EQ(bench.In(Register::kCounter2), 0x56);

  // Status alone, of 1, which nothing was written to.
  bench.Out(Register::kControl, ControlSelect::Of(kReadBack) |
                                    ReadBackNotCount::kMask |
                                    ReadBackCounters::Of(0b010));
  EXPECT_EQ(bench.In(Register::kCounter1),
            StatusNullCount::kMask |
                ControlCounter::Get(Control(0, Mode::kTerminalCount)));
  EXPECT_EQ(bench.In(Register::kCounter1), 0);
  // Count alone.
  bench.Out(Register::kControl, ControlSelect::Of(kReadBack) |
                                    ReadBackNotStatus::kMask |
                                    ReadBackCounters::Of(0b001));
  bench.Pass(5);
  EXPECT_EQ(bench.In(Register::kCounter0), 0x32);
  EXPECT_EQ(bench.In(Register::kCounter0), 0x12);
}

// As Linux does through port 0x61, with the count of 50 ms.
TEST(Pit8254Test, CounterTwoMeasuresATime) {
  Bench bench;
  bench.pit.SetGate(2, true);
  bench.Program(2, Mode::kTerminalCount, 0xe90b);
  bench.clock.Advance(absl::Milliseconds(49));
  EXPECT_FALSE(bench.pit.Output(2));
  bench.clock.Advance(absl::Milliseconds(2));
  EXPECT_TRUE(bench.pit.Output(2));
  EXPECT_EQ(bench.Levels(), "");
  EXPECT_EQ(bench.pit.NextDeadline(), absl::InfiniteDuration());
}

TEST(Pit8254Test, ClosedGateKeepsCounterTwoStill) {
  Bench bench;
  bench.Program(2, Mode::kTerminalCount, 100);
  bench.Pass(1000);
  EXPECT_FALSE(bench.pit.Output(2));
  bench.pit.SetGate(2, true);
  bench.Pass(99);
  EXPECT_FALSE(bench.pit.Output(2));
  bench.Pass(1);
  EXPECT_TRUE(bench.pit.Output(2));
}

TEST(Pit8254Test, CountersOutsideAreIgnored) {
  Bench bench;
  bench.pit.SetGate(3, false);
  EXPECT_FALSE(bench.pit.Output(3));
  EXPECT_EQ(bench.pit.Save(), Pit8254State());
}

TEST(Pit8254Test, WideAccessesTakeRegistersInARow) {
  Bench bench;
  std::array<std::byte, 6> data;
  data.fill(std::byte{0});
  // Counters 2 and control: the byte to counter 2 comes first.
  const std::array out{std::byte{0x11},
                       std::byte{Control(2, Mode::kTerminalCount)},
                       std::byte{0x77}};
  EXPECT_EQ(bench.pit.Write(2, out), IoResult::kDone);
  EXPECT_FALSE(bench.pit.Save().counters[2].write_high_next);
  EXPECT_EQ(bench.pit.Read(1, data), IoResult::kDone);
  EXPECT_THAT(data,
              ElementsAre(std::byte{0}, std::byte{0}, std::byte{0xff},
                          std::byte{0xff}, std::byte{0xff}, std::byte{0xff}));
  EXPECT_EQ(bench.pit.Read(100, std::span(data).first(1)), IoResult::kDone);
  EXPECT_EQ(data[0], std::byte{0xff});
  EXPECT_EQ(bench.pit.Write(100, out), IoResult::kDone);
  EXPECT_EQ(bench.pit.Write(0, {}), IoResult::kDone);
  EXPECT_EQ(bench.pit.Read(0, {}), IoResult::kDone);
}

TEST(Pit8254Test, ControlWordRegisterReadsAllOnes) {
  Bench bench;
  EXPECT_EQ(bench.In(Register::kControl), 0xff);
}

TEST(Pit8254Test, ResetKeepsGates) {
  Bench bench;
  bench.pit.SetGate(2, true);
  bench.Program(0, Mode::kRate, 100);
  EXPECT_EQ(bench.Levels(), "1");
  bench.pit.Reset();
  EXPECT_EQ(bench.Levels(), "0");
  Pit8254State state;
  state.counters[2].gate = true;
  EXPECT_EQ(bench.pit.Save(), state);
}

TEST(Pit8254Test, ContinuesUnderAnotherClock) {
  Bench bench;
  bench.Program(0, Mode::kRate, 1000);
  bench.Pass(301);
  bench.Out(Register::kControl, 0);  // Latch.
  bench.In(Register::kCounter0);
  const Pit8254State state = bench.pit.Save();

  Bench other;
  other.Pass(123'456);
  ASSERT_OK(other.pit.Restore(state));
  EXPECT_EQ(other.Levels(), "1");
  EXPECT_EQ(other.moved, 1);
  EXPECT_EQ(other.pit.Save(), state);
  EXPECT_EQ(other.PulsesToDeadline(), 700);
  EXPECT_EQ(other.In(Register::kCounter0), bench.In(Register::kCounter0));
  other.Pass(700);
  other.pit.OnDeadline();
  EXPECT_EQ(other.Levels(), "01");
}

TEST(Pit8254Test, ATickThatWasDueWhenSavedComesWhenRestored) {
  Bench bench;
  bench.Program(0, Mode::kRate, 1000);
  bench.Pass(1001);
  const Pit8254State state = bench.pit.Save();
  EXPECT_TRUE(state.interrupt_due);
  EXPECT_EQ(bench.Levels(), "1");
  Bench other;
  ASSERT_OK(other.pit.Restore(state));
  EXPECT_EQ(other.Levels(), "1");
  EXPECT_EQ(other.PulsesToDeadline(), 1000);
}

TEST(Pit8254Test, RestoreRefusesWhatNoPitHas) {
  using Counter = Pit8254State::Counter;
  Pit8254State running;
  running.counters[1] = {
      .control = ControlCounter::Get(Control(1, Mode::kRate)),
      .count = 100,
      .count_written = true,
      .running = true,
      .period = 100,
      .elapsed = 99,
  };
  const struct {
    const char* text;
    void (*change)(Counter& counter);
  } rows[] = {
      {"counters[1].control is 64", [](Counter& c) { c.control = 0x40; }},
      {"counters[1].control is 6", [](Counter& c) { c.control = 0x06; }},
      {"counters[1].write_high_next is 1",
       [](Counter& c) {
         c.control = 0x14;
         c.write_high_next = true;
       }},
      {"counters[1].read_high_next is 1",
       [](Counter& c) {
         c.control = 0x24;
         c.read_high_next = true;
       }},
      {"counters[1].running is 1", [](Counter& c) { c.count_written = false; }},
      {"counters[1].period is 0", [](Counter& c) { c.period = 0; }},
      {"counters[1].period is 65537", [](Counter& c) { c.period = 65'537; }},
      {"counters[1].period is 16666",
       [](Counter& c) {
         c.control |= ControlBcd::kMask;
         c.period = 16'666;
       }},
      {"counters[1].elapsed is 100", [](Counter& c) { c.elapsed = 100; }},
      {"counters[1].elapsed is 65637",
       [](Counter& c) {
         c.control = 0x30;
         c.elapsed = 65'637;
       }},
      {"counters[1].period is 100", [](Counter& c) { c.running = false; }},
      {"counters[1].load_in is 0",
       [](Counter& c) { c.load = Pit8254State::Load::kScheduled; }},
      {"counters[1].load_in is 65537",
       [](Counter& c) {
         c.load = Pit8254State::Load::kScheduled;
         c.load_in = 65'537;
       }},
      {"counters[1].load is 2",
       [](Counter& c) {
         c.control = 0x38;
         c.load = Pit8254State::Load::kOnTrigger;
       }},
      {"counters[1].load is 3",
       [](Counter& c) { c.load = static_cast<Pit8254State::Load>(3); }},
      {"counters[1].load is 1",
       [](Counter& c) {
         c = {};
         c.load = Pit8254State::Load::kScheduled;
         c.load_in = 1;
       }},
      {"counters[1].load_in is 1", [](Counter& c) { c.load_in = 1; }},
      {"counters[1].load_low_half is 1",
       [](Counter& c) { c.load_low_half = true; }},
  };
  Bench bench;
  ASSERT_OK(bench.pit.Restore(running));
  for (const auto& row : rows) {
    SCOPED_TRACE(row.text);
    Pit8254State state = running;
    row.change(state.counters[1]);
    EXPECT_THAT(bench.pit.Restore(state),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         HasSubstr(std::string("Pit8254State.") + row.text)));
    EXPECT_EQ(bench.pit.Save(), running);
  }
  Pit8254State state;
  state.quiet = 1'193'183;
  EXPECT_THAT(bench.pit.Restore(state),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("Pit8254State.quiet is 1193183")));
}

TEST(Pit8254Test, ThePeriodBetweenInterruptsHasItsRange) {
  ManualClock clock;
  int rises = 0;
  for (const absl::Duration period :
       {absl::InfiniteDuration(), absl::Seconds(-5)}) {
    Pit8254 pit(clock, {.interrupt = [&](bool level) { rises += level; },
                        .min_interrupt_period = period});
    const std::array data{std::byte{10}};
    const std::array control{std::byte{0x14}};
    EXPECT_EQ(pit.Write(3, control), IoResult::kDone);
    EXPECT_EQ(pit.Write(0, data), IoResult::kDone);
    clock.Advance(absl::Milliseconds(10));
    pit.OnDeadline();
    // The quiet of a second at most can be saved and restored.
    ASSERT_OK(pit.Restore(pit.Save()));
    EXPECT_LE(pit.NextDeadline(), clock.Monotonic() + absl::Seconds(1));
  }
  EXPECT_EQ(rises, 1 + 2);
}

TEST(Pit8254Test, WithoutCallbacks) {
  ManualClock clock;
  Pit8254 pit(clock, {});
  const std::array control{std::byte{0x14}};
  const std::array count{std::byte{10}};
  EXPECT_EQ(pit.Write(3, control), IoResult::kDone);
  EXPECT_EQ(pit.Write(0, count), IoResult::kDone);
  clock.Advance(absl::Seconds(1));
  pit.OnDeadline();
  EXPECT_GT(pit.NextDeadline(), clock.Monotonic());
}

// Threads read, program and call OnDeadline; told levels alternate and each
// callback is alone.
TEST(Pit8254Test, ThreadsSeeOrderedInterrupts) {
  ManualClock clock;
  std::atomic<int> inside = 0;
  bool last = false;
  int told = 0;
  Pit8254 pit(clock, {.interrupt =
                          [&](bool level) {
                            EXPECT_EQ(inside.fetch_add(1), 0);
                            EXPECT_NE(level, last);
                            last = level;
                            ++told;
                            inside.fetch_sub(1);
                          },
                      .min_interrupt_period = absl::ZeroDuration()});
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 2000; ++i) {
        std::array data{std::byte{0x14}};
        if (t == 0) {
          if (i % 64 == 0) {
            EXPECT_EQ(pit.Write(3, data), IoResult::kDone);
            EXPECT_EQ(pit.Write(0, data), IoResult::kDone);
          }
          EXPECT_EQ(pit.Read(0, data), IoResult::kDone);
        } else {
          clock.Advance(absl::Microseconds(7));
          pit.OnDeadline();
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  // What they saw depends on whose turn came when; that the counter still counts
  // does not.
  std::array data{std::byte{0x14}};
  EXPECT_EQ(pit.Write(3, data), IoResult::kDone);
  EXPECT_EQ(pit.Write(0, data), IoResult::kDone);
  told = 0;
  for (int period = 0; period < 3; ++period) {
    clock.Advance(TimeOfClock(0x14 + 1));
    pit.OnDeadline();
  }
  EXPECT_EQ(told, 3 * 2);
  EXPECT_TRUE(last);
}

}  // namespace
}  // namespace libvmm
