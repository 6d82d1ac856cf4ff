// SPDX-License-Identifier: Apache-2.0
// One counter against a model that goes pulse by pulse, as the datasheet
// describes the modes: an element that is decremented, and an OUT that flips.
#include "libvmm/devices/timer/pit_8254_counter.h"

#include <cstdint>
#include <optional>
#include <random>
#include <string>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "libvmm/devices/timer/pit_8254_registers.h"
#include "libvmm/devices/timer/pit_8254_state.h"

namespace libvmm {
namespace {

using namespace pit_8254;  // NOLINT: the datasheet's names.

uint8_t Control(Mode mode, Access access, bool bcd) {
  return ControlMode::Of(static_cast<uint8_t>(mode)) |
         ControlAccess::Of(static_cast<uint8_t>(access)) |
         ControlBcd::Of(bcd ? 1 : 0);
}

// Counts are given as numbers, not as registers.
class PulseModel {
 public:
  void WriteControl(Mode mode, int range) {
    mode_ = mode;
    range_ = range;
    counting_ = false;
    load_next_ = false;
    count_written_ = false;
    null_count_ = true;
    loaded_ = false;
    out_ = mode != Mode::kTerminalCount;
  }

  void WriteFirstByte() {
    if (mode_ != Mode::kTerminalCount) return;
    out_ = false;
    counting_ = false;
    load_next_ = false;
  }

  void WriteCount(int count) {
    count_ = count == 0 ? range_ : count;
    count_written_ = true;
    null_count_ = true;
    if (mode_ == Mode::kTerminalCount) {
      WriteFirstByte();
      load_next_ = true;
    } else if (mode_ == Mode::kSoftwareStrobe) {
      load_next_ = true;
    } else if (Periodic() && !counting_) {
      load_next_ = true;
    }
  }

  void SetGate(bool level) {
    if (level == gate_) return;
    gate_ = level;
    if (mode_ == Mode::kSoftwareStrobe && !level && !out_) {
      out_ = true;
      element_ = Wrap(element_ - 1);
    }
    if (Periodic() && !level) out_ = true;
    if (mode_ != Mode::kTerminalCount && mode_ != Mode::kSoftwareStrobe &&
        level && count_written_) {
      load_next_ = true;
      if (Periodic()) counting_ = false;
    }
  }

  void Pulse() {
    if (load_next_) {
      load_next_ = false;
      counting_ = true;
      armed_ = true;
      Load();
      out_ = mode_ != Mode::kTerminalCount && mode_ != Mode::kOneShot;
      return;
    }
    const bool by_level =
        mode_ != Mode::kOneShot && mode_ != Mode::kHardwareStrobe;
    if (!counting_ || (by_level && !gate_)) return;
    switch (mode_) {
      case Mode::kTerminalCount:
      case Mode::kOneShot:
        element_ = Wrap(element_ - 1);
        if (element_ == 0) out_ = true;
        return;
      case Mode::kRate:
        --element_;
        if (element_ == 0) Load();
        out_ = element_ != 1;
        return;
      case Mode::kSquareWave:
        if (element_ == 0) {
          // The extra pulse of an odd count's first half.
          Flip();
          return;
        }
        element_ -= 2;
        if (element_ == 0 && !(odd_ && out_)) Flip();
        return;
      case Mode::kSoftwareStrobe:
      case Mode::kHardwareStrobe:
        out_ = true;
        element_ = Wrap(element_ - 1);
        if (element_ == 0 && armed_) {
          out_ = false;
          armed_ = false;
        }
        return;
    }
  }

  [[nodiscard]] bool out() const { return out_; }
  [[nodiscard]] bool null_count() const { return null_count_; }
  [[nodiscard]] int element() const { return element_ % range_; }
  // Since the control word; until then the element is what it was, in whatever
  // base that was.
  [[nodiscard]] bool loaded() const { return loaded_; }

 private:
  [[nodiscard]] bool Periodic() const {
    return mode_ == Mode::kRate || mode_ == Mode::kSquareWave;
  }
  [[nodiscard]] int Wrap(int value) const { return (value + range_) % range_; }
  void Load() {
    odd_ = count_ % 2 != 0;
    element_ = mode_ == Mode::kSquareWave && odd_ ? count_ - 1 : count_;
    null_count_ = false;
    loaded_ = true;
  }
  void Flip() {
    out_ = !out_;
    Load();
  }

  Mode mode_ = Mode::kTerminalCount;
  int range_ = kBinaryRange;
  int count_ = 0;
  int element_ = 0;
  bool gate_ = true;
  bool counting_ = false;
  bool load_next_ = false;
  bool count_written_ = false;
  bool null_count_ = true;
  bool armed_ = false;
  bool loaded_ = false;
  bool odd_ = false;
  bool out_ = false;
};

uint16_t Bcd(int value) {
  return static_cast<uint16_t>(std::stoi(std::to_string(value), nullptr, 16));
}

class Pair {
 public:
  void WriteControl(Mode mode, bool bcd) {
    bcd_ = bcd;
    held_ = Value();
    counter.WriteControl(Control(mode, Access::kBoth, bcd));
    model.WriteControl(mode, static_cast<int>(bcd ? kBcdRange : kBinaryRange));
    Check();
  }
  void WriteCount(int count) {
    const uint16_t value = bcd_ ? Bcd(count) : static_cast<uint16_t>(count);
    counter.WriteByte(value & 0xff);
    model.WriteFirstByte();
    Check();
    counter.WriteByte(value >> 8);
    model.WriteCount(count);
    Check();
  }
  void SetGate(bool level) {
    counter.SetGate(level);
    model.SetGate(level);
    Check();
  }
  // In one step for the counter.
  void Advance(uint64_t clocks) {
    const std::optional<uint64_t> expected = counter.ClocksToRise();
    std::optional<uint64_t> first;
    for (uint64_t i = 1; i <= clocks; ++i) {
      const bool before = model.out();
      model.Pulse();
      if (!before && model.out() && !first.has_value()) first = i;
    }
    ASSERT_EQ(counter.Advance(clocks), first.has_value());
    if (first.has_value()) {
      ASSERT_EQ(expected, first);
    } else if (expected.has_value()) {
      ASSERT_GT(*expected, clocks);
    }
    Check();
  }

  Pit8254Counter counter;
  PulseModel model;

 private:
  void Check() {
    ASSERT_EQ(counter.Output(), model.out());
    Pit8254Counter copy = counter;
    copy.LatchStatus();
    ASSERT_EQ(StatusNullCount::Get(copy.ReadByte()) != 0, model.null_count());
    const int element = bcd_ ? Bcd(model.element()) : model.element();
    ASSERT_EQ(Value(), model.loaded() ? element : held_);
    Pit8254State state;
    state.counters[0] = counter.state();
    ASSERT_EQ(state.Validate(), absl::OkStatus());
  }

  [[nodiscard]] int Value() const {
    Pit8254Counter copy = counter;
    copy.LatchCount();
    const int low = copy.ReadByte();
    return low | copy.ReadByte() << 8;
  }

  bool bcd_ = false;
  int held_ = 0;
};

TEST(Pit8254CounterTest, AgreesWithTheModelPulseByPulse) {
  for (const uint32_t seed : {1, 2, 3, 4, 5, 6, 7, 8}) {
    std::mt19937 random(seed);
    const auto below = [&](uint32_t n) { return random() % n; };
    Pair pair;
    for (int step = 0; step < 3000; ++step) {
      SCOPED_TRACE(absl::StrCat("seed ", seed, " step ", step));
      switch (below(24)) {
        case 0:
          pair.WriteControl(static_cast<Mode>(below(6)), below(2) != 0);
          break;
        case 1:
        case 2:
        case 3:
          // From 2: 1 is illegal in some modes.
          pair.WriteCount(static_cast<int>(2 + below(12)));
          break;
        case 4:
          pair.WriteCount(0);
          break;
        case 5:
        case 6:
          pair.SetGate(below(2) != 0);
          break;
        case 7:
          pair.Advance(60'000 + below(20'000));
          break;
        default:
          pair.Advance(below(9));
      }
      if (HasFatalFailure()) return;
    }
  }
}

// Each mode and count alone, over some rounds, gate high, then triggered.
TEST(Pit8254CounterTest, EveryModeAgreesForSmallCounts) {
  for (const bool bcd : {false, true}) {
    for (uint8_t mode = 0; mode < 6; ++mode) {
      for (int count = 2; count < 12; ++count) {
        SCOPED_TRACE(absl::StrCat("mode ", mode, " count ", count));
        Pair pair;
        pair.WriteControl(static_cast<Mode>(mode), bcd);
        pair.WriteCount(count);
        for (int i = 0; i < 40; ++i) pair.Advance(1);
        pair.SetGate(false);
        for (int i = 0; i < 5; ++i) pair.Advance(1);
        pair.SetGate(true);
        for (int i = 0; i < 40; ++i) pair.Advance(1);
        if (HasFatalFailure()) return;
      }
    }
  }
}

// Waveforms of the datasheet's figures 15 to 20: OUT behind the first pulses
// after the count (with a trigger at once in modes 1 and 5).
TEST(Pit8254CounterTest, Waveforms) {
  const struct {
    Mode mode;
    uint8_t count;
    const char* out;
  } rows[] = {
      {Mode::kTerminalCount, 4, "00001111"},
      {Mode::kOneShot, 3, "000111111"},
      {Mode::kRate, 3, "110110110"},
      {Mode::kSquareWave, 4, "110011001"},
      {Mode::kSquareWave, 5, "1110011100"},
      {Mode::kSoftwareStrobe, 3, "1110111"},
      {Mode::kHardwareStrobe, 3, "1110111"},
      {Mode::kTerminalCount, 1, "0111"},
      // Forbidden, and still.
      {Mode::kRate, 1, "1111"},
      {Mode::kSquareWave, 1, "1111"},
      {Mode::kSquareWave, 2, "1010"},
  };
  for (const auto& row : rows) {
    SCOPED_TRACE(row.out);
    Pit8254Counter counter;
    counter.WriteControl(Control(row.mode, Access::kLow, false));
    counter.WriteByte(row.count);
    if (row.mode == Mode::kOneShot || row.mode == Mode::kHardwareStrobe) {
      EXPECT_TRUE(counter.Output());
      counter.SetGate(false);
      counter.SetGate(true);
    }
    std::string out;
    for (size_t i = 0; i < std::string(row.out).size(); ++i) {
      counter.Advance(1);
      out += counter.Output() ? '1' : '0';
    }
    EXPECT_EQ(out, row.out);
  }
}

TEST(Pit8254CounterTest, ModesSixAndSevenAreTwoAndThree) {
  Pit8254Counter counter;
  counter.WriteControl(Control(static_cast<Mode>(6), Access::kLow, false));
  EXPECT_EQ(counter.mode(), Mode::kRate);
  counter.WriteControl(Control(static_cast<Mode>(7), Access::kLow, false));
  EXPECT_EQ(counter.mode(), Mode::kSquareWave);
  // The status shows what was written.
  counter.LatchStatus();
  EXPECT_EQ(ControlMode::Get(counter.ReadByte()), 7);
}

TEST(Pit8254CounterTest, OneByteAccess) {
  Pit8254Counter counter;
  counter.WriteControl(Control(Mode::kTerminalCount, Access::kHigh, false));
  counter.WriteByte(0x12);
  counter.Advance(1);
  EXPECT_EQ(counter.state().period, 0x1200u);
  EXPECT_EQ(counter.ReadByte(), 0x12);
  EXPECT_EQ(counter.ReadByte(), 0x12);
  counter.Advance(1);
  EXPECT_EQ(counter.ReadByte(), 0x11);

  counter.WriteControl(Control(Mode::kTerminalCount, Access::kLow, false));
  counter.WriteByte(0x34);
  counter.Advance(1);
  EXPECT_EQ(counter.state().period, 0x34u);
  EXPECT_EQ(counter.ReadByte(), 0x34);
  counter.LatchCount();
  counter.Advance(1);
  EXPECT_EQ(counter.ReadByte(), 0x34);
  EXPECT_EQ(counter.ReadByte(), 0x33);
}

TEST(Pit8254CounterTest, RunningReadsAlternateBytes) {
  Pit8254Counter counter;
  counter.WriteControl(Control(Mode::kTerminalCount, Access::kBoth, false));
  counter.WriteByte(0x01);
  counter.WriteByte(0x02);
  counter.Advance(1);
  EXPECT_EQ(counter.ReadByte(), 0x01);
  counter.Advance(2);
  EXPECT_EQ(counter.ReadByte(), 0x01);  // 0x01ff
  EXPECT_EQ(counter.ReadByte(), 0xff);
}

TEST(Pit8254CounterTest, ALatchHoldsUntilItIsRead) {
  Pit8254Counter counter;
  counter.WriteControl(Control(Mode::kTerminalCount, Access::kBoth, false));
  counter.WriteByte(0x00);
  counter.WriteByte(0x10);
  counter.Advance(1);
  // From the low byte on, wherever the running reads were.
  EXPECT_EQ(counter.ReadByte(), 0x00);
  counter.LatchCount();
  counter.Advance(1);
  counter.LatchCount();  // Ignored.
  counter.LatchStatus();
  counter.Advance(1);
  EXPECT_EQ(counter.ReadByte(),
            Control(Mode::kTerminalCount, Access::kBoth, false));
  EXPECT_EQ(counter.ReadByte(), 0x00);
  counter.LatchCount();  // Still ignored: half of it is unread.
  EXPECT_EQ(counter.ReadByte(), 0x10);
  EXPECT_EQ(counter.ReadByte(), 0xfe);
  EXPECT_EQ(counter.ReadByte(), 0x0f);
  // A control word takes latches away.
  counter.LatchCount();
  counter.LatchStatus();
  counter.WriteControl(Control(Mode::kRate, Access::kBoth, false));
  EXPECT_FALSE(counter.state().count_latched);
  EXPECT_FALSE(counter.state().status_latched);
  EXPECT_EQ(counter.ReadByte(), 0xfe);
}

TEST(Pit8254CounterTest, BcdDigitsAboveNineCountAsTheirValue) {
  Pit8254Counter counter;
  counter.WriteControl(Control(Mode::kTerminalCount, Access::kBoth, true));
  counter.WriteByte(0xff);
  counter.WriteByte(0xff);
  counter.Advance(1);
  EXPECT_EQ(counter.state().period, 16'665u);
  EXPECT_EQ(counter.ReadByte(), 0x65);
  EXPECT_EQ(counter.ReadByte(), 0x66);
  counter.Advance(16'665);
  EXPECT_TRUE(counter.Output());
}

TEST(Pit8254CounterTest, AStrobeComesOnce) {
  for (const Mode mode : {Mode::kSoftwareStrobe, Mode::kHardwareStrobe}) {
    Pit8254Counter counter;
    counter.WriteControl(Control(mode, Access::kLow, false));
    counter.WriteByte(7);
    counter.SetGate(false);
    counter.SetGate(true);
    EXPECT_FALSE(counter.Advance(1 + 7));
    EXPECT_FALSE(counter.Output());
    // At the same count in later rounds, in one step or two.
    EXPECT_TRUE(counter.Advance(2 * kBinaryRange));
    EXPECT_TRUE(counter.Output());
    EXPECT_FALSE(counter.Advance(kBinaryRange));
    EXPECT_TRUE(counter.Output());
  }
}

TEST(Pit8254CounterTest, AGateThatFallsEndsTheStrobe) {
  Pit8254Counter counter;
  counter.WriteControl(Control(Mode::kSoftwareStrobe, Access::kLow, false));
  counter.WriteByte(3);
  counter.Advance(1 + 3);
  EXPECT_FALSE(counter.Output());
  counter.SetGate(false);
  EXPECT_TRUE(counter.Output());
  counter.SetGate(true);
  EXPECT_TRUE(counter.Output());
}

TEST(Pit8254CounterTest, YearsCostNothingAndKeepThePhase) {
  constexpr uint64_t kYears = uint64_t{1'193'182} * 86'400 * 365 * 100;
  for (uint8_t mode = 0; mode < 6; ++mode) {
    SCOPED_TRACE(static_cast<int>(mode));
    Pit8254Counter counter;
    counter.WriteControl(Control(static_cast<Mode>(mode), Access::kLow, false));
    counter.WriteByte(7);
    counter.SetGate(false);
    counter.SetGate(true);
    counter.Advance(1);
    Pit8254Counter late = counter;
    const uint64_t round = mode == 2 || mode == 3 ? 7 : kBinaryRange;
    EXPECT_TRUE(late.Advance(kYears / round * round + 3 * round));
    EXPECT_TRUE(counter.Advance(3 * round));
    EXPECT_EQ(late.state(), counter.state());
  }
}

}  // namespace
}  // namespace libvmm
