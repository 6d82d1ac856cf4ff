// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/keyboard/i8042.h"

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/devices/io_device.h"
#include "libvmm/devices/keyboard/i8042_registers.h"
#include "libvmm/devices/keyboard/i8042_state.h"
#include "libvmm/devices/keyboard/ps2_key.h"
#include "libvmm/devices/keyboard/ps2_keyboard_registers.h"
#include "libvmm/devices/keyboard/ps2_keyboard_state.h"
#include "libvmm/devices/keyboard/scan_code_set.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm {
namespace {

using namespace i8042;  // NOLINT: the manual's names.
using ::libvmm::testing::IsOk;
using ::libvmm::testing::StatusIs;
using ::testing::AllOf;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::ElementsAreArray;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// Status: unlocked, system flag; and with output, or after a data write.
constexpr uint8_t kIdle = 0x14;
constexpr uint8_t kFull = 0x01;
constexpr uint8_t kAfterCommand = 0x08;

// A controller, and a host that keeps what comes out of it.
class Bench {
 public:
  explicit Bench(I8042::Options options = {})
      : kbd(WithCallbacks(std::move(options))) {}

  uint8_t Data() { return In(kbd.data_port()); }
  uint8_t Status() { return In(kbd.command_port()); }
  void Data(uint8_t value) {
    EXPECT_EQ(Out(kbd.data_port(), value), IoResult::kDone);
  }
  void Command(uint8_t value) {
    EXPECT_EQ(Out(kbd.command_port(), value), IoResult::kDone);
  }
  void Command(uint8_t value, uint8_t data) {
    Command(value);
    Data(data);
  }
  // As a driver does: what a command answers.
  uint8_t Ask(uint8_t command) {
    Command(command);
    EXPECT_EQ(Status() & kFull, kFull);
    return Data();
  }
  std::vector<int> Drain() {
    std::vector<int> bytes;
    while ((Status() & kFull) != 0) bytes.push_back(Data());
    return bytes;
  }
  static uint8_t In(IoDevice& port) {
    std::array<std::byte, 1> data{};
    EXPECT_EQ(port.Read(0, data), IoResult::kDone);
    return static_cast<uint8_t>(data[0]);
  }
  static IoResult Out(IoDevice& port, uint8_t value) {
    const std::array data{std::byte{value}};
    return port.Write(0, data);
  }

  I8042 kbd;
  std::string irq;      // 1 and 0 for each change of IRQ 1.
  std::string aux_irq;  // Likewise of IRQ 12.
  std::string calls;

 private:
  I8042::Options WithCallbacks(I8042::Options options) {
    options.interrupt = [this](bool level) { irq += level ? "1" : "0"; };
    options.aux_interrupt = [this](bool level) {
      aux_irq += level ? "1" : "0";
    };
    options.reset = [this] { calls += "reset "; };
    options.a20 = [this](bool open) { calls += open ? "a20+ " : "a20- "; };
    options.leds = [this](uint8_t leds) {
      absl::StrAppend(&calls, "leds", leds, " ");
    };
    return options;
  }
};

TEST(I8042Test, ResetValues) {
  Bench bench;
  EXPECT_EQ(bench.Status(), kIdle | kAfterCommand);
  EXPECT_EQ(bench.Data(), 0x00);
  EXPECT_EQ(bench.Ask(0x20), 0x65);
  EXPECT_EQ(bench.Ask(0xd0), 0xc3);
}

TEST(I8042Test, AnswersOfCommands) {
  const struct {
    uint8_t command;
    int without_aux;  // Negative for none.
    int with_aux;
  } kTable[] = {
      {0x20, 0x65, 0x65}, {0x3f, 0x00, 0x00}, {0xa4, 0xf1, 0xf1},
      {0xa9, 0x01, 0x00}, {0xaa, 0x55, 0x55}, {0xab, 0x00, 0x00},
      {0xc0, 0x80, 0x80}, {0xd0, 0xc3, 0xc3}, {0xa7, -1, -1},
      {0xa8, -1, -1},     {0xad, -1, -1},     {0xae, -1, -1},
      {0x60, -1, -1},     {0xd1, -1, -1},     {0xd2, -1, -1},
      {0xd3, -1, -1},     {0xd4, -1, -1},     {0xff, -1, -1},
      {0x00, -1, -1},     {0x80, -1, -1},     {0xe0, -1, -1},
  };
  for (const auto& row : kTable) {
    for (const bool aux : {false, true}) {
      SCOPED_TRACE(absl::StrCat(absl::Hex(row.command), " ", aux));
      Bench bench({.aux = aux});
      bench.Command(row.command);
      const int answer = aux ? row.with_aux : row.without_aux;
      if (answer < 0) {
        EXPECT_EQ(bench.Status() & kFull, 0);
        EXPECT_EQ(bench.irq, "");
      } else {
        EXPECT_THAT(bench.Drain(), ElementsAre(answer));
        EXPECT_EQ(bench.irq, "10");
      }
      EXPECT_EQ(bench.aux_irq, "");
    }
  }
}

TEST(I8042Test, StatusTellsCommandFromData) {
  Bench bench;
  bench.Command(0xae);
  EXPECT_EQ(bench.Status(), kIdle | kAfterCommand);
  bench.Data(0xee);
  EXPECT_EQ(bench.Status(), kIdle | kFull);
  EXPECT_EQ(bench.Data(), 0xee);
  EXPECT_EQ(bench.Status(), kIdle);
}

TEST(I8042Test, RamBytes) {
  Bench bench;
  for (uint8_t i = 1; i < kRamSize; ++i) {
    bench.Command(static_cast<uint8_t>(0x60 + i),
                  static_cast<uint8_t>(0xa0 + i));
  }
  for (uint8_t i = 1; i < kRamSize; ++i) {
    EXPECT_EQ(bench.Ask(static_cast<uint8_t>(0x20 + i)), 0xa0 + i);
  }
  EXPECT_EQ(bench.Ask(0x20), 0x65);
  // The byte behind the data byte goes to the keyboard.
  bench.Data(0xee);
  EXPECT_EQ(bench.Data(), 0xee);
}

TEST(I8042Test, ACommandDropsTheOneThatWaitsForData) {
  Bench bench;
  bench.Command(0x60);
  bench.Command(0xae);
  bench.Data(0xee);
  EXPECT_EQ(bench.Data(), 0xee);
  EXPECT_EQ(bench.Ask(0x20), 0x65);
}

TEST(I8042Test, SystemFlag) {
  Bench bench;
  bench.Command(0x60, 0x00);
  EXPECT_EQ(bench.Status(), 0x10);
  EXPECT_EQ(bench.Ask(0xaa), 0x55);
  EXPECT_EQ(bench.Status(), 0x1c);
  EXPECT_EQ(bench.Ask(0x20), 0x04);
}

TEST(I8042Test, EnableAndDisableBits) {
  Bench bench({.aux = true});
  const struct {
    uint8_t command;
    uint8_t command_byte;
  } kTable[] = {{0xad, 0x75}, {0xa8, 0x55}, {0xae, 0x45},
                {0xa7, 0x65}, {0xad, 0x75}, {0xae, 0x65}};
  for (const auto& row : kTable) {
    bench.Command(row.command);
    EXPECT_EQ(bench.Ask(0x20), row.command_byte);
  }
  // No second channel: its bit does not move.
  Bench without;
  without.Command(0xa8);
  EXPECT_EQ(without.Ask(0x20), 0x65);
}

TEST(I8042Test, KeysAreTranslatedToSet1) {
  Bench bench;
  EXPECT_TRUE(bench.kbd.PressKey(Ps2Key::kA));
  EXPECT_TRUE(bench.kbd.ReleaseKey(Ps2Key::kA));
  EXPECT_TRUE(bench.kbd.PressKey(Ps2Key::kRight));
  EXPECT_TRUE(bench.kbd.ReleaseKey(Ps2Key::kRight));
  EXPECT_TRUE(bench.kbd.PressKey(Ps2Key::kF7));
  EXPECT_TRUE(bench.kbd.ReleaseKey(Ps2Key::kF7));
  EXPECT_TRUE(bench.kbd.PressKey(Ps2Key::kPause));
  EXPECT_THAT(bench.Drain(),
              ElementsAre(0x1e, 0x9e, 0xe0, 0x4d, 0xe0, 0xcd, 0x41, 0xc1, 0xe1,
                          0x1d, 0x45, 0xe1, 0x9d, 0xc5));
}

TEST(I8042Test, KeysWithoutTranslation) {
  Bench bench;
  bench.Command(0x60, 0x05);
  EXPECT_TRUE(bench.kbd.PressKey(Ps2Key::kRight));
  EXPECT_TRUE(bench.kbd.ReleaseKey(Ps2Key::kRight));
  EXPECT_THAT(bench.Drain(), ElementsAre(0xe0, 0x74, 0xe0, 0xf0, 0x74));
}

TEST(I8042Test, TranslationOfEveryKeyIsItsSet1Code) {
  // The keys of set 1 in the order of their codes (IBM PC XT).
  constexpr Ps2Key kInOrder[] = {
      Ps2Key::kEscape,     Ps2Key::k1,           Ps2Key::k2,
      Ps2Key::k3,          Ps2Key::k4,           Ps2Key::k5,
      Ps2Key::k6,          Ps2Key::k7,           Ps2Key::k8,
      Ps2Key::k9,          Ps2Key::k0,           Ps2Key::kMinus,
      Ps2Key::kEqual,      Ps2Key::kBackspace,   Ps2Key::kTab,
      Ps2Key::kQ,          Ps2Key::kW,           Ps2Key::kE,
      Ps2Key::kR,          Ps2Key::kT,           Ps2Key::kY,
      Ps2Key::kU,          Ps2Key::kI,           Ps2Key::kO,
      Ps2Key::kP,          Ps2Key::kLeftBracket, Ps2Key::kRightBracket,
      Ps2Key::kEnter,      Ps2Key::kLeftCtrl,    Ps2Key::kA,
      Ps2Key::kS,          Ps2Key::kD,           Ps2Key::kF,
      Ps2Key::kG,          Ps2Key::kH,           Ps2Key::kJ,
      Ps2Key::kK,          Ps2Key::kL,           Ps2Key::kSemicolon,
      Ps2Key::kQuote,      Ps2Key::kGrave,       Ps2Key::kLeftShift,
      Ps2Key::kBackslash,  Ps2Key::kZ,           Ps2Key::kX,
      Ps2Key::kC,          Ps2Key::kV,           Ps2Key::kB,
      Ps2Key::kN,          Ps2Key::kM,           Ps2Key::kComma,
      Ps2Key::kPeriod,     Ps2Key::kSlash,       Ps2Key::kRightShift,
      Ps2Key::kKeypadStar, Ps2Key::kLeftAlt,     Ps2Key::kSpace,
      Ps2Key::kCapsLock,   Ps2Key::kF1,          Ps2Key::kF2,
      Ps2Key::kF3,         Ps2Key::kF4,          Ps2Key::kF5,
      Ps2Key::kF6,         Ps2Key::kF7,          Ps2Key::kF8,
      Ps2Key::kF9,         Ps2Key::kF10,         Ps2Key::kNumLock,
      Ps2Key::kScrollLock, Ps2Key::kKeypad7,     Ps2Key::kKeypad8,
      Ps2Key::kKeypad9,    Ps2Key::kKeypadMinus, Ps2Key::kKeypad4,
      Ps2Key::kKeypad5,    Ps2Key::kKeypad6,     Ps2Key::kKeypadPlus,
      Ps2Key::kKeypad1,    Ps2Key::kKeypad2,     Ps2Key::kKeypad3,
      Ps2Key::kKeypad0,    Ps2Key::kKeypadPeriod};
  int code = 1;
  for (const Ps2Key key : kInOrder) {
    EXPECT_EQ(TranslateToSet1(static_cast<uint8_t>(key)), code) << code;
    ++code;
  }
  EXPECT_EQ(TranslateToSet1(static_cast<uint8_t>(Ps2Key::kF11)), 0x57);
  EXPECT_EQ(TranslateToSet1(static_cast<uint8_t>(Ps2Key::kF12)), 0x58);
  // Prefixes and answers stay.
  for (const uint8_t byte : {0xaa, 0xab, 0xe0, 0xe1, 0xee, 0xfa, 0xfe}) {
    EXPECT_EQ(TranslateToSet1(byte), byte);
  }
}

TEST(I8042Test, CtrlAltDel) {
  Bench bench;
  EXPECT_TRUE(bench.kbd.SendCtrlAltDel());
  EXPECT_THAT(bench.Drain(),
              ElementsAre(0x1d, 0x38, 0xe0, 0x53, 0xe0, 0xd3, 0xb8, 0x9d));
}

TEST(I8042Test, OneInterruptForEachByte) {
  Bench bench;
  EXPECT_TRUE(bench.kbd.SendCtrlAltDel());
  EXPECT_EQ(bench.irq, "1");
  bench.Data();
  EXPECT_EQ(bench.irq, "101");
  EXPECT_EQ(bench.Drain().size(), 7u);
  EXPECT_EQ(bench.irq, "1010101010101010");
  EXPECT_EQ(bench.aux_irq, "");
}

TEST(I8042Test, InterruptsFollowTheCommandByte) {
  Bench bench;
  bench.Command(0x60, 0x44);
  EXPECT_TRUE(bench.kbd.PressKey(Ps2Key::kA));
  EXPECT_EQ(bench.irq, "");
  EXPECT_EQ(bench.Status() & kFull, kFull);
  bench.Command(0x60, 0x45);
  EXPECT_EQ(bench.irq, "1");
  bench.Command(0x60, 0x44);
  EXPECT_EQ(bench.irq, "10");
}

TEST(I8042Test, DisabledKeyboardKeepsItsKeys) {
  Bench bench;
  bench.Command(0xad);
  EXPECT_TRUE(bench.kbd.PressKey(Ps2Key::kA));
  EXPECT_EQ(bench.Status() & kFull, 0);
  // Answers of the controller come all the same.
  EXPECT_EQ(bench.Ask(0xaa), 0x55);
  bench.Command(0xae);
  EXPECT_THAT(bench.Drain(), ElementsAre(0x1e));
  // A byte for the keyboard opens the channel too.
  bench.Command(0xad);
  bench.Data(0xee);
  EXPECT_EQ(bench.Data(), 0xee);
  EXPECT_EQ(bench.Ask(0x20), 0x65);
}

TEST(I8042Test, KeyboardIsIdentifiedThroughTheTranslator) {
  Bench bench;
  bench.Data(0xf2);
  EXPECT_THAT(bench.Drain(), ElementsAre(0xfa, 0xab, 0x41));
  bench.Command(0x60, 0x05);
  bench.Data(0xf2);
  EXPECT_THAT(bench.Drain(), ElementsAre(0xfa, 0xab, 0x83));
  bench.Data(0xff);
  EXPECT_THAT(bench.Drain(), ElementsAre(0xfa, 0xaa));
}

TEST(I8042Test, ControllersAnswerComesBeforeKeys) {
  Bench bench;
  EXPECT_TRUE(bench.kbd.PressKey(Ps2Key::kA));
  EXPECT_TRUE(bench.kbd.PressKey(Ps2Key::kB));
  bench.Command(0xaa);
  bench.Command(0xab);  // Only the last one is kept.
  EXPECT_THAT(bench.Drain(), ElementsAre(0x1e, 0x00, 0x30));
}

TEST(I8042Test, KeyboardOutputBufferByCommand) {
  Bench bench;
  bench.Command(0xd2, 0x1c);
  // Not translated.
  EXPECT_EQ(bench.Status(), kIdle | kFull);
  EXPECT_EQ(bench.irq, "1");
  EXPECT_EQ(bench.Ask(0xd0), 0x1c);
  // The output port shows the interrupt as it was when it was asked for.
  EXPECT_EQ(bench.Data(), 0xd3);
}

TEST(I8042Test, AuxLoopback) {
  Bench bench({.aux = true});
  bench.Command(0x60, 0x47);
  bench.Command(0xd3, 0x5a);
  EXPECT_EQ(bench.Status(), kIdle | kFull | 0x20);
  EXPECT_EQ(bench.aux_irq, "1");
  EXPECT_EQ(bench.irq, "");
  EXPECT_EQ(bench.Data(), 0x5a);
  EXPECT_EQ(bench.Status(), kIdle);
  EXPECT_EQ(bench.aux_irq, "10");
  // Without a second channel it is the keyboard's: how a driver finds out.
  Bench without;
  without.Command(0xd3, 0x5a);
  EXPECT_EQ(without.Status(), kIdle | kFull);
  EXPECT_EQ(without.Data(), 0x5a);
}

TEST(I8042Test, NothingIsAtTheEndOfAux) {
  Bench bench({.aux = true});
  bench.Command(0x60, 0x67);
  bench.Command(0xd4, 0xff);
  EXPECT_EQ(bench.Status(), kIdle | kFull | 0x60);
  EXPECT_EQ(bench.aux_irq, "1");
  EXPECT_EQ(bench.Data(), 0xfe);
  EXPECT_EQ(bench.Status(), kIdle);
  EXPECT_EQ(bench.Ask(0x20), 0x47);
  Bench without;
  without.Command(0xd4, 0xff);
  EXPECT_EQ(without.Status(), kIdle);
}

TEST(I8042Test, ResetByPulse) {
  for (int command = 0xf0; command < 0x100; ++command) {
    SCOPED_TRACE(command);
    Bench bench;
    const bool resets = command % 2 == 0;
    EXPECT_EQ(
        Bench::Out(bench.kbd.command_port(), static_cast<uint8_t>(command)),
        resets ? IoResult::kStop : IoResult::kDone);
    EXPECT_EQ(bench.calls, resets ? "reset " : "");
  }
}

TEST(I8042Test, OutputPort) {
  Bench bench;
  bench.Command(0xd1, 0xff);
  EXPECT_EQ(bench.calls, "");
  bench.Command(0xd1, 0x01);
  EXPECT_EQ(bench.calls, "a20- ");
  EXPECT_EQ(bench.Ask(0xd0), 0xc1);
  bench.Command(0xd1, 0x03);
  EXPECT_EQ(bench.calls, "a20- a20+ ");
  EXPECT_EQ(bench.Ask(0xd0), 0xc3);
  bench.Command(0xd1);
  EXPECT_EQ(Bench::Out(bench.kbd.data_port(), 0x00), IoResult::kStop);
  EXPECT_EQ(bench.calls, "a20- a20+ a20- reset ");
}

TEST(I8042Test, Leds) {
  Bench bench;
  bench.Data(0xed);
  bench.Data(0x02);
  EXPECT_EQ(bench.calls, "leds2 ");
  bench.Data(0xed);
  bench.Data(0x02);
  EXPECT_EQ(bench.calls, "leds2 ");
  bench.Data(0xff);
  EXPECT_EQ(bench.calls, "leds2 leds0 ");
}

TEST(I8042Test, WideAndOtherAccesses) {
  Bench bench;
  bench.Command(0xd2, 0x42);
  std::array<std::byte, 4> data{};
  for (IoDevice* port : {&bench.kbd.data_port(), &bench.kbd.command_port()}) {
    EXPECT_EQ(port->Read(1, data), IoResult::kDone);
    EXPECT_THAT(data, Each(std::byte{0xff}));
    const std::array pulse{std::byte{0xfe}, std::byte{0xfe}};
    EXPECT_EQ(port->Write(1, pulse), IoResult::kDone);
    EXPECT_EQ(port->Write(0, {}), IoResult::kDone);
    EXPECT_EQ(port->Read(0, {}), IoResult::kDone);
  }
  EXPECT_EQ(bench.kbd.command_port().Read(0, data), IoResult::kDone);
  EXPECT_THAT(data, ElementsAre(std::byte{0x15}, std::byte{0xff},
                                std::byte{0xff}, std::byte{0xff}));
  EXPECT_EQ(bench.kbd.data_port().Read(0, data), IoResult::kDone);
  EXPECT_THAT(data, ElementsAre(std::byte{0x42}, std::byte{0xff},
                                std::byte{0xff}, std::byte{0xff}));
  // The second byte is no second command.
  const std::array two{std::byte{0xab}, std::byte{0xfe}};
  EXPECT_EQ(bench.kbd.command_port().Write(0, two), IoResult::kDone);
  EXPECT_THAT(bench.Drain(), ElementsAre(0x00));
}

TEST(I8042Test, EmptyBufferGivesItsLastByte) {
  Bench bench;
  bench.Command(0xd2, 0x42);
  EXPECT_EQ(bench.Data(), 0x42);
  EXPECT_EQ(bench.Data(), 0x42);
  EXPECT_EQ(bench.irq, "10");
}

TEST(I8042Test, ResetForgetsAll) {
  Bench bench;
  EXPECT_TRUE(bench.kbd.SendCtrlAltDel());
  bench.Command(0x60, 0x00);
  bench.Command(0xd1, 0x01);
  bench.kbd.Reset();
  EXPECT_EQ(bench.kbd.Save(), I8042State());
  EXPECT_EQ(bench.irq, "10");
  EXPECT_EQ(bench.calls, "a20- a20+ ");
}

TEST(I8042Test, NullCallbacksAreAllowed) {
  I8042 kbd({});
  EXPECT_TRUE(kbd.SendCtrlAltDel());
  EXPECT_EQ(Bench::Out(kbd.command_port(), 0xd1), IoResult::kDone);
  EXPECT_EQ(Bench::Out(kbd.data_port(), 0x00), IoResult::kStop);
  EXPECT_EQ(Bench::Out(kbd.data_port(), 0xed), IoResult::kDone);
  EXPECT_EQ(Bench::Out(kbd.data_port(), 0x07), IoResult::kDone);
  EXPECT_EQ(Bench::In(kbd.data_port()), 0x1d);
}

TEST(I8042Test, CallbacksMayCallBack) {
  I8042* self = nullptr;
  std::vector<int> bytes;
  I8042 kbd({.interrupt =
                 [&](bool level) {
                   if (level) bytes.push_back(Bench::In(self->data_port()));
                 },
             .reset = [&] { self->Reset(); }});
  self = &kbd;
  EXPECT_TRUE(kbd.SendCtrlAltDel());
  EXPECT_THAT(bytes,
              ElementsAre(0x1d, 0x38, 0xe0, 0x53, 0xe0, 0xd3, 0xb8, 0x9d));
  EXPECT_EQ(Bench::Out(kbd.command_port(), 0xfe), IoResult::kStop);
  EXPECT_EQ(kbd.Save(), I8042State());
}

TEST(I8042Test, SaveAndRestore) {
  Bench first({.aux = true});
  EXPECT_TRUE(first.kbd.PressKey(Ps2Key::kA));
  EXPECT_TRUE(first.kbd.ReleaseKey(Ps2Key::kA));
  first.Data(0xed);
  first.Command(0x63, 0x77);
  first.Command(0xd3, 0x12);
  first.Command(0xd1, 0x01);
  first.Command(0x60);
  const I8042State state = first.kbd.Save();
  Bench second({.aux = true});
  EXPECT_THAT(second.kbd.Restore(state), IsOk());
  EXPECT_EQ(second.kbd.Save(), state);
  EXPECT_EQ(second.irq, "1");
  EXPECT_EQ(second.calls, "");
  second.Data(0x47);
  // The key, AUX's byte, the answer of the keyboard, the rest of the keys.
  EXPECT_EQ(second.Data(), 0x1e);
  EXPECT_EQ(second.Status() & 0x21, 0x21);
  EXPECT_THAT(second.Drain(), ElementsAre(0x12, 0xfa, 0x9e));
  EXPECT_EQ(second.Ask(0x23), 0x77);
  second.Data(0x05);
  EXPECT_EQ(second.calls, "leds5 ");
}

TEST(I8042Test, GuestAndHostAtOnce) {
  std::atomic<bool> line = false;
  I8042 kbd({.interrupt = [&](bool level) {
    // In order, and by change only.
    EXPECT_NE(line.exchange(level), level);
  }});
  constexpr int kKeys = 2000;
  std::atomic<bool> done = false;
  std::vector<int> got;
  const auto read = [&] {
    while ((Bench::In(kbd.command_port()) & kFull) != 0) {
      got.push_back(Bench::In(kbd.data_port()));
    }
  };
  std::thread host([&] {
    for (int i = 0; i < kKeys; ++i) {
      const Ps2Key key = i % 2 == 0 ? Ps2Key::kA : Ps2Key::kB;
      while (!kbd.PressKey(key)) std::this_thread::yield();
    }
    done = true;
  });
  while (!done) read();
  host.join();
  read();
  ASSERT_EQ(got.size(), static_cast<size_t>(kKeys));
  for (int i = 0; i < kKeys; ++i) {
    ASSERT_EQ(got[i], i % 2 == 0 ? 0x1e : 0x30) << i;
  }
  EXPECT_FALSE(line);
}

TEST(I8042Test, RestoreRefusesWhatNoControllerReached) {
  const struct {
    const char* field;
    const char* value;
    void (*spoil)(I8042State&);
  } kTable[] = {
      {"I8042State.pending_command", "0xd0",
       [](I8042State& s) { s.pending_command = 0xd0; }},
      {"I8042State.output.status", "0x21",
       [](I8042State& s) { s.output.status = 0x21; }},
      {"I8042State.reply.status", "0x80",
       [](I8042State& s) { s.reply.status = 0x80; }},
      {"I8042State.reply.full", "1",
       [](I8042State& s) { s.reply.full = true; }},
      {"Ps2KeyboardState.leds", "0x8",
       [](I8042State& s) { s.keyboard.leds = 8; }},
      {"Ps2KeyboardState.typematic", "0x80",
       [](I8042State& s) { s.keyboard.typematic = 0x80; }},
      {"Ps2KeyboardState.pending_command", "0xf4",
       [](I8042State& s) { s.keyboard.pending_command = 0xf4; }},
      {"Ps2KeyboardState.reply_count", "0x4",
       [](I8042State& s) { s.keyboard.reply_count = 4; }},
      {"Ps2KeyboardState.key_count", "0x41",
       [](I8042State& s) { s.keyboard.key_count = 65; }},
      {"Ps2KeyboardState.in_sequence", "0x1",
       [](I8042State& s) { s.keyboard.in_sequence = true; }},
  };
  for (const auto& row : kTable) {
    SCOPED_TRACE(row.field);
    Bench bench;
    const I8042State before = bench.kbd.Save();
    I8042State state;
    state.ram[1] = 1;
    row.spoil(state);
    EXPECT_THAT(bench.kbd.Restore(state),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         AllOf(HasSubstr(row.field), HasSubstr(row.value))));
    EXPECT_EQ(bench.kbd.Save(), before);
  }
}

}  // namespace
}  // namespace libvmm
