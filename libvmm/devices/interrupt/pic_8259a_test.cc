// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/interrupt/pic_8259a.h"

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/devices/interrupt/pic_8259a_registers.h"
#include "libvmm/devices/interrupt/pic_8259a_state.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm {
namespace {

using namespace pic_8259a;  // NOLINT: the datasheet's names.
using ::libvmm::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Optional;

constexpr uint8_t kMasterBase = 0x30;
constexpr uint8_t kSlaveBase = 0x38;
constexpr uint8_t kIcw1 = Icw1::kMask | Icw1Ic4::kMask;
constexpr uint8_t kIcw4 = 0x01;  // 8086 mode.

constexpr uint8_t Command(Ocw2 command, uint8_t level = 0) {
  return Ocw2Command::Of(static_cast<uint8_t>(command)) | Ocw2Level::Of(level);
}
constexpr uint8_t kEoi = Command(Ocw2::kNonSpecificEoi);
constexpr uint8_t kReadIrr = Ocw3::kMask | Ocw3Rr::kMask;
constexpr uint8_t kReadIsr = kReadIrr | Ocw3Ris::kMask;
constexpr uint8_t kPoll = Ocw3::kMask | Ocw3Poll::kMask;
constexpr uint8_t kSetSpecialMask =
    Ocw3::kMask | Ocw3Esmm::kMask | Ocw3Smm::kMask;
constexpr uint8_t kEndSpecialMask = Ocw3::kMask | Ocw3Esmm::kMask;

// The pair, initialised as Linux does, with nothing masked.
class Bench {
 public:
  explicit Bench(uint8_t icw4 = kIcw4)
      : pic({.intr = [this](bool level) { levels_ += level ? '1' : '0'; }}) {
    Initialize(pic.master(), kMasterBase, 1 << kCascade, icw4);
    Initialize(pic.slave(), kSlaveBase, kCascade, kIcw4);
  }

  static void Initialize(IoDevice& chip, uint8_t base, uint8_t icw3,
                         uint8_t icw4) {
    Out(chip, Register::kCommand, kIcw1);
    for (const uint8_t icw : {base, icw3, icw4}) {
      Out(chip, Register::kData, icw);
    }
  }
  static void Out(IoDevice& chip, Register reg, uint8_t value) {
    const std::array data{std::byte{value}};
    EXPECT_EQ(chip.Write(static_cast<uint64_t>(reg), data), IoResult::kDone);
  }
  static uint8_t In(IoDevice& chip, Register reg) {
    std::array<std::byte, 1> data{};
    EXPECT_EQ(chip.Read(static_cast<uint64_t>(reg), data), IoResult::kDone);
    return static_cast<uint8_t>(data[0]);
  }
  void Command(uint8_t value) { Out(pic.master(), Register::kCommand, value); }
  void SlaveCommand(uint8_t value) {
    Out(pic.slave(), Register::kCommand, value);
  }
  void Mask(uint16_t mask) {
    Out(pic.master(), Register::kData, mask & 0xff);
    Out(pic.slave(), Register::kData, mask >> 8);
  }
  void SetElcr(uint16_t elcr) {
    const std::array data{std::byte(elcr & 0xff), std::byte(elcr >> 8)};
    EXPECT_EQ(pic.elcr().Write(0, data), IoResult::kDone);
  }
  uint8_t Irr() {
    Command(kReadIrr);
    return In(pic.master(), Register::kCommand);
  }
  uint8_t Isr() {
    Command(kReadIsr);
    return In(pic.master(), Register::kCommand);
  }
  void Pulse(size_t irq) {
    pic.SetLine(irq, true);
    pic.SetLine(irq, false);
  }
  std::string Levels() { return std::exchange(levels_, ""); }

  Pic8259a pic;

 private:
  std::string levels_;
};

TEST(Pic8259aTest, RequestsNothingBeforeInitialization) {
  Pic8259a pic({});
  pic.SetLine(0, true);
  EXPECT_FALSE(pic.intr());
  EXPECT_EQ(pic.TryAcknowledge(), std::nullopt);
  // As Linux probes it.
  Bench::Out(pic.slave(), Register::kData, 0xff);
  Bench::Out(pic.master(), Register::kData, 0xfb);
  EXPECT_EQ(Bench::In(pic.master(), Register::kData), 0xfb);
  EXPECT_EQ(Bench::In(pic.slave(), Register::kData), 0xff);
}

TEST(Pic8259aTest, EachIrqHasItsVector) {
  for (uint8_t irq = 0; irq < kIrqCount; ++irq) {
    if (irq == kCascade) continue;
    SCOPED_TRACE(static_cast<int>(irq));
    Bench bench;
    bench.pic.SetLine(irq, true);
    EXPECT_TRUE(bench.pic.intr());
    EXPECT_EQ(bench.Levels(), "1");
    const uint8_t vector = irq < 8 ? kMasterBase + irq : kSlaveBase + irq - 8;
    EXPECT_EQ(bench.pic.Acknowledge(), vector);
    EXPECT_EQ(bench.Levels(), "0");
    const uint8_t master_bit = irq < 8 ? 1 << irq : 1 << kCascade;
    EXPECT_EQ(bench.Isr(), master_bit);
    EXPECT_EQ(bench.Irr(), 0);
    bench.SlaveCommand(kReadIsr);
    EXPECT_EQ(Bench::In(bench.pic.slave(), Register::kCommand),
              irq < 8 ? 0 : 1 << (irq - 8));
    // The line is still high: no new edge.
    bench.SlaveCommand(kEoi);
    bench.Command(kEoi);
    EXPECT_EQ(bench.Levels(), "");
    EXPECT_EQ(bench.Isr(), 0);
    bench.pic.SetLine(irq, false);
    bench.pic.SetLine(irq, true);
    EXPECT_EQ(bench.pic.TryAcknowledge(), vector);
  }
}

TEST(Pic8259aTest, LinesThatAreNotThereAreIgnored) {
  Bench bench;
  bench.pic.SetLine(kCascade, true);
  bench.pic.SetLine(16, true);
  bench.pic.SetLine(SIZE_MAX, true);
  EXPECT_EQ(bench.Irr(), 0);
  EXPECT_EQ(bench.Levels(), "");
}

TEST(Pic8259aTest, HigherPriorityInterruptsLower) {
  Bench bench;
  bench.pic.SetLine(4, true);
  EXPECT_EQ(bench.pic.Acknowledge(), kMasterBase + 4);
  bench.pic.SetLine(5, true);
  EXPECT_FALSE(bench.pic.intr());
  bench.pic.SetLine(12, true);  // At input 2 of the master.
  EXPECT_EQ(bench.pic.TryAcknowledge(), kSlaveBase + 4);
  bench.pic.SetLine(1, true);
  bench.pic.SetLine(0, true);
  EXPECT_EQ(bench.pic.TryAcknowledge(), kMasterBase + 0);
  EXPECT_EQ(bench.pic.TryAcknowledge(), std::nullopt);
  EXPECT_EQ(bench.Isr(), 0x15);
  EXPECT_EQ(bench.Irr(), 0x22);
  bench.Command(kEoi);  // Of 0.
  EXPECT_EQ(bench.pic.TryAcknowledge(), kMasterBase + 1);
  bench.Command(kEoi);
  bench.Command(kEoi);
  bench.SlaveCommand(kEoi);
  EXPECT_FALSE(bench.pic.intr());
  bench.Command(kEoi);
  EXPECT_EQ(bench.pic.TryAcknowledge(), kMasterBase + 5);
}

TEST(Pic8259aTest, MaskedRequestsWait) {
  Bench bench;
  bench.Mask(0x0008);
  bench.Pulse(3);
  EXPECT_FALSE(bench.pic.intr());
  EXPECT_EQ(bench.Irr(), 0x08);
  bench.Mask(0x0000);
  EXPECT_EQ(bench.Levels(), "1");
  EXPECT_EQ(bench.pic.TryAcknowledge(), kMasterBase + 3);
}

TEST(Pic8259aTest, SpuriousIsIrq7WithoutService) {
  Bench bench;
  EXPECT_EQ(bench.pic.TryAcknowledge(), std::nullopt);
  EXPECT_EQ(bench.pic.Acknowledge(), kMasterBase + 7);
  EXPECT_EQ(bench.Isr(), 0);
  // A level that goes before it is acknowledged.
  bench.SetElcr(0x0008);
  bench.pic.SetLine(3, true);
  bench.pic.SetLine(3, false);
  EXPECT_EQ(bench.Levels(), "10");
  EXPECT_EQ(bench.pic.Acknowledge(), kMasterBase + 7);
  EXPECT_EQ(bench.Isr(), 0);
}

TEST(Pic8259aTest, SpuriousOfTheSlaveIsIrq15WithTheMasterInService) {
  Bench bench;
  bench.SetElcr(0x0800);
  bench.pic.SetLine(11, true);
  bench.pic.SetLine(11, false);
  // The slave's request has come to the master.
  EXPECT_TRUE(bench.pic.intr());
  EXPECT_EQ(bench.pic.TryAcknowledge(), kSlaveBase + 7);
  EXPECT_EQ(bench.Isr(), 1 << kCascade);
  EXPECT_EQ(bench.pic.Save().chips[1].isr, 0);
}

TEST(Pic8259aTest, LevelIsRequestedAsLongAsItIsThere) {
  Bench bench;
  bench.SetElcr(0x0020);
  bench.pic.SetLine(5, true);
  EXPECT_EQ(bench.pic.TryAcknowledge(), kMasterBase + 5);
  EXPECT_EQ(bench.Irr(), 0x20);
  EXPECT_FALSE(bench.pic.intr());
  bench.Command(kEoi);
  EXPECT_EQ(bench.pic.TryAcknowledge(), kMasterBase + 5);
  bench.pic.SetLine(5, false);
  EXPECT_EQ(bench.Irr(), 0);
  bench.Command(kEoi);
  EXPECT_FALSE(bench.pic.intr());
}

TEST(Pic8259aTest, LevelAtTheSlaveAsWell) {
  Bench bench;
  bench.SetElcr(0x0400);
  bench.pic.SetLine(10, true);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(bench.pic.TryAcknowledge(), kSlaveBase + 2);
    EXPECT_FALSE(bench.pic.intr());
    bench.SlaveCommand(kEoi);
    bench.Command(kEoi);
    EXPECT_TRUE(bench.pic.intr());
  }
  bench.pic.SetLine(10, false);
  EXPECT_EQ(bench.pic.TryAcknowledge(), kSlaveBase + 7);  // It is too late.
}

TEST(Pic8259aTest, ElcrHasItsBits) {
  Bench bench;
  bench.SetElcr(0xffff);
  std::array<std::byte, 3> data{};
  EXPECT_EQ(bench.pic.elcr().Read(0, data), IoResult::kDone);
  EXPECT_THAT(data,
              ElementsAre(std::byte{0xf8}, std::byte{0xde}, std::byte{0xff}));
  // A line that is high becomes a request with the bit, and stays one.
  bench.SetElcr(0);
  bench.pic.SetLine(6, true);
  EXPECT_EQ(bench.pic.TryAcknowledge(), kMasterBase + 6);
  bench.Command(kEoi);
  EXPECT_FALSE(bench.pic.intr());
  bench.SetElcr(0x0040);
  EXPECT_TRUE(bench.pic.intr());
  bench.SetElcr(0x0000);
  EXPECT_TRUE(bench.pic.intr());
  // An edge that is gone does not survive becoming a level.
  bench.Pulse(7);
  bench.SetElcr(0x0080);
  EXPECT_EQ(bench.Irr(), 0x40);
  // Initialization leaves it.
  Bench::Initialize(bench.pic.master(), kMasterBase, 4, kIcw4);
  EXPECT_EQ(bench.pic.Save().chips[0].elcr, 0x80);
}

TEST(Pic8259aTest, SpecificEoi) {
  Bench bench;
  bench.Pulse(6);
  bench.pic.Acknowledge();
  bench.Pulse(3);
  bench.pic.Acknowledge();
  EXPECT_EQ(bench.Isr(), 0x48);
  bench.Command(Command(Ocw2::kSpecificEoi, 6));
  EXPECT_EQ(bench.Isr(), 0x08);
  bench.Command(Command(Ocw2::kNoOperation, 3));
  EXPECT_EQ(bench.Isr(), 0x08);
  bench.Command(Command(Ocw2::kSpecificEoi, 3));
  EXPECT_EQ(bench.Isr(), 0);
}

// Datasheet, "Automatic Rotation": figure of the ISR with 4 and 6 in service.
TEST(Pic8259aTest, RotationMakesTheServedOneLowest) {
  Bench bench;
  bench.Pulse(6);
  bench.pic.Acknowledge();
  bench.Pulse(4);
  bench.pic.Acknowledge();
  bench.Command(Command(Ocw2::kRotateOnNonSpecificEoi));
  EXPECT_EQ(bench.Isr(), 0x40);
  EXPECT_EQ(bench.pic.Save().chips[0].lowest, 4);
  // Now 5, 6, 7, 0 ... 4.
  bench.Pulse(4);
  bench.Pulse(0);
  EXPECT_FALSE(bench.pic.intr());
  bench.Pulse(5);
  EXPECT_EQ(bench.pic.TryAcknowledge(), kMasterBase + 5);
  bench.Command(kEoi);
  bench.Command(kEoi);
  EXPECT_EQ(bench.Isr(), 0);
  EXPECT_EQ(bench.pic.TryAcknowledge(), kMasterBase + 0);
  bench.Command(kEoi);
  EXPECT_EQ(bench.pic.TryAcknowledge(), kMasterBase + 4);
}

TEST(Pic8259aTest, SpecificRotationAndSetPriority) {
  Bench bench;
  bench.Command(Command(Ocw2::kSetPriority, 2));
  bench.Pulse(1);
  bench.Pulse(3);
  EXPECT_EQ(bench.pic.TryAcknowledge(), kMasterBase + 3);
  EXPECT_FALSE(bench.pic.intr());
  bench.Command(Command(Ocw2::kRotateOnSpecificEoi, 3));
  EXPECT_EQ(bench.pic.Save().chips[0].lowest, 3);
  EXPECT_EQ(bench.pic.TryAcknowledge(), kMasterBase + 1);
}

TEST(Pic8259aTest, RotationWithNothingInServiceDoesNothing) {
  Bench bench;
  bench.Command(Command(Ocw2::kRotateOnNonSpecificEoi));
  bench.Command(kEoi);
  EXPECT_EQ(bench.pic.Save().chips[0].lowest, 7);
}

TEST(Pic8259aTest, AutomaticEndOfInterrupt) {
  Bench bench(kIcw4 | Icw4Aeoi::kMask);
  bench.Pulse(3);
  EXPECT_EQ(bench.pic.TryAcknowledge(), kMasterBase + 3);
  EXPECT_EQ(bench.Isr(), 0);
  bench.Pulse(5);
  EXPECT_EQ(bench.pic.TryAcknowledge(), kMasterBase + 5);
  EXPECT_EQ(bench.pic.Save().chips[0].lowest, 7);
  bench.Command(Command(Ocw2::kRotateInAeoiSet));
  bench.Pulse(3);
  EXPECT_EQ(bench.pic.TryAcknowledge(), kMasterBase + 3);
  EXPECT_EQ(bench.pic.Save().chips[0].lowest, 3);
  bench.Command(Command(Ocw2::kRotateInAeoiClear));
  bench.Pulse(5);
  EXPECT_EQ(bench.pic.TryAcknowledge(), kMasterBase + 5);
  EXPECT_EQ(bench.pic.Save().chips[0].lowest, 3);
}

TEST(Pic8259aTest, SpecialMaskModeLetsLowerOnesIn) {
  Bench bench;
  bench.Pulse(4);
  bench.pic.Acknowledge();
  bench.Mask(0x0010);
  bench.Pulse(6);
  EXPECT_FALSE(bench.pic.intr());
  bench.Command(kSetSpecialMask);
  EXPECT_TRUE(bench.pic.intr());
  EXPECT_EQ(bench.pic.TryAcknowledge(), kMasterBase + 6);
  EXPECT_EQ(bench.Isr(), 0x50);
  // A non-specific EOI passes over what is masked.
  bench.Command(kEoi);
  EXPECT_EQ(bench.Isr(), 0x10);
  bench.Command(kEoi);
  EXPECT_EQ(bench.Isr(), 0x10);
  bench.Command(kEndSpecialMask);
  bench.Command(kEoi);
  EXPECT_EQ(bench.Isr(), 0);
}

TEST(Pic8259aTest, SpecialFullyNestedModeLetsTheSlaveInterruptItself) {
  for (const bool nested : {false, true}) {
    SCOPED_TRACE(nested);
    Bench bench(kIcw4 | (nested ? Icw4Sfnm::kMask : 0));
    bench.Pulse(12);
    EXPECT_EQ(bench.pic.TryAcknowledge(), kSlaveBase + 4);
    bench.Pulse(9);
    EXPECT_EQ(bench.pic.intr(), nested);
    if (!nested) continue;
    EXPECT_EQ(bench.pic.TryAcknowledge(), kSlaveBase + 1);
    bench.Pulse(3);
    EXPECT_FALSE(bench.pic.intr());
    // Only itself: what is above it in service keeps it out.
    bench.Pulse(0);
    EXPECT_EQ(bench.pic.TryAcknowledge(), kMasterBase + 0);
    bench.Pulse(8);
    EXPECT_FALSE(bench.pic.intr());
    bench.Command(kEoi);
    EXPECT_EQ(bench.pic.TryAcknowledge(), kSlaveBase + 0);
  }
}

TEST(Pic8259aTest, PollAcknowledges) {
  Bench bench;
  bench.Command(kPoll);
  EXPECT_EQ(Bench::In(bench.pic.master(), Register::kCommand), 0);
  bench.Pulse(5);
  bench.Command(kPoll);
  EXPECT_EQ(Bench::In(bench.pic.master(), Register::kData), 0x85);
  EXPECT_EQ(bench.Levels(), "10");
  EXPECT_EQ(bench.Isr(), 0x20);
  // One read only.
  EXPECT_EQ(Bench::In(bench.pic.master(), Register::kData), 0);
  bench.Command(kEoi);

  // The slave alone: the master is not asked for it any more.
  bench.Pulse(14);
  EXPECT_EQ(bench.Levels(), "1");
  bench.SlaveCommand(kPoll);
  EXPECT_EQ(Bench::In(bench.pic.slave(), Register::kCommand), 0x86);
  EXPECT_EQ(bench.Levels(), "0");
  bench.SlaveCommand(kEoi);
  EXPECT_EQ(bench.Irr(), 0);
}

TEST(Pic8259aTest, InitializationStartsOver) {
  Bench bench;
  bench.SetElcr(0x0020);
  bench.Pulse(3);
  bench.pic.Acknowledge();
  bench.pic.SetLine(4, true);
  bench.pic.SetLine(5, true);
  bench.Mask(0x00ff);
  bench.Command(kSetSpecialMask);
  bench.Command(kReadIsr);
  bench.Command(Command(Ocw2::kSetPriority, 4));
  bench.Command(kPoll);
  bench.Command(kIcw1);
  // The level is there, the edge is not, nor will it be while the line is high.
  EXPECT_EQ(Bench::In(bench.pic.master(), Register::kCommand), 0x20);
  EXPECT_EQ(Bench::In(bench.pic.master(), Register::kData), 0);
  EXPECT_FALSE(bench.pic.intr());
  Bench::Out(bench.pic.master(), Register::kData, 0x57);
  Bench::Out(bench.pic.master(), Register::kData, 4);
  EXPECT_FALSE(bench.pic.intr());
  Bench::Out(bench.pic.master(), Register::kData, kIcw4);
  EXPECT_EQ(bench.pic.TryAcknowledge(), 0x55);
  EXPECT_EQ(bench.Isr(), 0x20);
  bench.pic.SetLine(4, true);
  EXPECT_FALSE(bench.pic.intr());
}

TEST(Pic8259aTest, ShorterInitializations) {
  const struct {
    uint8_t icw1;
    int words;
  } rows[] = {
      {Icw1::kMask | Icw1Ic4::kMask, 3},
      {Icw1::kMask, 2},
      {Icw1::kMask | Icw1Ic4::kMask | Icw1Sngl::kMask, 2},
      {Icw1::kMask | Icw1Sngl::kMask, 1},
      {Icw1::kMask | Icw1Sngl::kMask | Icw1Ltim::kMask, 1},
  };
  for (const auto& row : rows) {
    SCOPED_TRACE(static_cast<int>(row.icw1));
    Bench bench(kIcw4 | Icw4Aeoi::kMask);
    bench.Command(row.icw1);
    for (int i = 0; i < row.words; ++i) {
      EXPECT_FALSE(bench.pic.Save().chips[0].initialized);
      Bench::Out(bench.pic.master(), Register::kData, 0x20);
    }
    EXPECT_TRUE(bench.pic.Save().chips[0].initialized);
    Bench::Out(bench.pic.master(), Register::kData, 0x81);
    EXPECT_EQ(Bench::In(bench.pic.master(), Register::kData), 0x81);
    bench.Pulse(6);
    EXPECT_EQ(bench.pic.TryAcknowledge(), 0x26);
    EXPECT_EQ(bench.Isr(), 0x40);  // No AEOI left.
  }
}

TEST(Pic8259aTest, InitializingTheSlaveTakesItsRequestBack) {
  Bench bench;
  bench.Pulse(8);
  EXPECT_EQ(bench.Levels(), "1");
  bench.SlaveCommand(kIcw1);
  EXPECT_EQ(bench.Levels(), "0");
}

TEST(Pic8259aTest, WideAccessesTakeRegistersInARow) {
  Bench bench;
  const std::array out{std::byte{kReadIsr}, std::byte{0x5a}, std::byte{0xff}};
  EXPECT_EQ(bench.pic.master().Write(0, out), IoResult::kDone);
  std::array<std::byte, 4> in{};
  EXPECT_EQ(bench.pic.master().Read(0, in), IoResult::kDone);
  EXPECT_THAT(in, ElementsAre(std::byte{0}, std::byte{0x5a}, std::byte{0xff},
                              std::byte{0xff}));
  EXPECT_EQ(bench.pic.master().Write(2, out), IoResult::kDone);
  EXPECT_EQ(bench.pic.elcr().Write(2, out), IoResult::kDone);
  EXPECT_EQ(bench.pic.master().Read(7, std::span(in).first(1)),
            IoResult::kDone);
  EXPECT_EQ(in[0], std::byte{0xff});
  EXPECT_EQ(bench.pic.master().Read(0, {}), IoResult::kDone);
  EXPECT_EQ(bench.pic.master().Write(0, {}), IoResult::kDone);
}

TEST(Pic8259aTest, ResetKeepsLines) {
  Bench bench;
  bench.SetElcr(0x0020);
  bench.pic.SetLine(5, true);
  bench.pic.SetLine(9, true);
  EXPECT_EQ(bench.Levels(), "1");
  bench.pic.Reset();
  EXPECT_EQ(bench.Levels(), "0");
  Pic8259aState state;
  state.chips[0].lines = 0x20;
  state.chips[1].lines = 0x02;
  EXPECT_EQ(bench.pic.Save(), state);
}

TEST(Pic8259aTest, SavesAndRestores) {
  Bench bench;
  bench.SetElcr(0x0820);
  bench.pic.SetLine(5, true);
  bench.Pulse(9);
  bench.pic.Acknowledge();
  bench.Command(Command(Ocw2::kSetPriority, 3));
  const Pic8259aState state = bench.pic.Save();
  EXPECT_TRUE(bench.pic.intr());

  std::string levels;
  Pic8259a other({.intr = [&](bool level) { levels += level ? '1' : '0'; }});
  ASSERT_OK(other.Restore(state));
  EXPECT_EQ(levels, "1");
  EXPECT_EQ(other.Save(), state);
  EXPECT_EQ(other.TryAcknowledge(), kMasterBase + 5);
  ASSERT_OK(other.Restore(Pic8259aState()));
  EXPECT_EQ(levels, "10");
}

TEST(Pic8259aTest, RestoreRefusesWhatNoPicHas) {
  const struct {
    const char* text;
    void (*change)(Pic8259aState& state);
  } rows[] = {
      {"chips[0].elcr is 0x4",
       [](Pic8259aState& s) { s.chips[0].elcr = 0x04; }},
      {"chips[1].elcr is 0x20",
       [](Pic8259aState& s) { s.chips[1].elcr = 0x20; }},
      {"chips[0].lines is 0x4",
       [](Pic8259aState& s) { s.chips[0].lines = 0x04; }},
      {"chips[0].irr is 0x8",
       [](Pic8259aState& s) {
         s.chips[0].elcr = 0x08;
         s.chips[0].irr = 0x08;
       }},
      {"chips[1].irr is 0x0",
       [](Pic8259aState& s) {
         s.chips[1].elcr = 0x02;
         s.chips[1].lines = 0x02;
       }},
      {"chips[1].icw4 is 0x20",
       [](Pic8259aState& s) { s.chips[1].icw4 = 0x20; }},
      {"chips[0].expects is 0x4",
       [](Pic8259aState& s) {
         s.chips[0].expects = static_cast<Pic8259aState::Expects>(4);
       }},
      {"chips[1].initialized is 0x1",
       [](Pic8259aState& s) {
         s.chips[1].expects = Pic8259aState::Expects::kIcw3;
       }},
      {"chips[0].lowest is 0x8",
       [](Pic8259aState& s) { s.chips[0].lowest = 8; }},
  };
  Bench bench;
  const Pic8259aState before = bench.pic.Save();
  for (const auto& row : rows) {
    SCOPED_TRACE(row.text);
    Pic8259aState state = before;
    row.change(state);
    EXPECT_THAT(bench.pic.Restore(state),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         HasSubstr(std::string("Pic8259aState.") + row.text)));
    EXPECT_EQ(bench.pic.Save(), before);
  }
}

// Device threads pulse their lines; a CPU thread takes what comes. Every line
// gets through, and the callback is told of changes in order.
TEST(Pic8259aTest, ThreadsLoseNoLine) {
  std::atomic<int> inside = 0;
  bool last = false;
  Pic8259a pic({.intr = [&](bool level) {
    EXPECT_EQ(inside.fetch_add(1), 0);
    EXPECT_NE(level, last);
    last = level;
    inside.fetch_sub(1);
  }});
  Bench::Initialize(pic.master(), kMasterBase, 4, kIcw4);
  Bench::Initialize(pic.slave(), kSlaveBase, 2, kIcw4);
  constexpr std::array<size_t, 3> kLines{1, 4, 10};
  constexpr int kRounds = 100;
  std::array<std::atomic<int>, 3> taken{};
  std::vector<std::thread> threads;
  for (size_t i = 0; i < kLines.size(); ++i) {
    threads.emplace_back([&, i] {
      for (int round = 0; round < kRounds; ++round) {
        pic.SetLine(kLines[i], true);
        pic.SetLine(kLines[i], false);
        while (taken[i].load() <= round) std::this_thread::yield();
      }
    });
  }
  for (int total = 0; total < kRounds * 3;) {
    const std::optional<uint8_t> vector = pic.TryAcknowledge();
    if (!vector.has_value()) continue;
    const size_t irq = *vector - kMasterBase;
    if (irq >= 8) Bench::Out(pic.slave(), Register::kCommand, kEoi);
    Bench::Out(pic.master(), Register::kCommand, kEoi);
    for (size_t i = 0; i < kLines.size(); ++i) {
      if (kLines[i] == irq) ++taken[i];
    }
    ++total;
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_FALSE(pic.intr());
  EXPECT_FALSE(last);
}

}  // namespace
}  // namespace libvmm
