// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/keyboard/ps2_keyboard.h"

#include <cstdint>
#include <optional>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/devices/keyboard/ps2_key.h"
#include "libvmm/devices/keyboard/ps2_keyboard_registers.h"
#include "libvmm/devices/keyboard/ps2_keyboard_state.h"

namespace libvmm {
namespace {

using ::testing::ElementsAre;
using ::testing::ElementsAreArray;
using ::testing::IsEmpty;

class Bench {
 public:
  std::vector<int> Drain() {
    std::vector<int> bytes;
    while (keyboard.has_byte()) bytes.push_back(*keyboard.Take());
    EXPECT_EQ(keyboard.Take(), std::nullopt);
    return bytes;
  }
  std::vector<int> Send(const std::vector<int>& bytes) {
    std::vector<int> answers;
    for (const int byte : bytes) {
      keyboard.Send(static_cast<uint8_t>(byte));
      for (const int answer : Drain()) answers.push_back(answer);
    }
    return answers;
  }

  Ps2Keyboard keyboard;
};

TEST(Ps2KeyboardTest, Answers) {
  const struct {
    const char* name;
    std::vector<int> bytes;
    std::vector<int> answers;
  } kTable[] = {
      {"set leds", {0xed, 0x05}, {0xfa, 0xfa}},
      {"echo", {0xee}, {0xee}},
      {"which set", {0xf0, 0x00}, {0xfa, 0xfa, 0x02}},
      {"set 2", {0xf0, 0x02}, {0xfa, 0xfa}},
      {"set 1", {0xf0, 0x01}, {0xfa, 0xfe}},
      {"set 3", {0xf0, 0x03}, {0xfa, 0xfe}},
      {"identify", {0xf2}, {0xfa, 0xab, 0x83}},
      {"typematic", {0xf3, 0x00}, {0xfa, 0xfa}},
      {"enable", {0xf4}, {0xfa}},
      {"disable", {0xf5}, {0xfa}},
      {"defaults", {0xf6}, {0xfa}},
      {"reset", {0xff}, {0xfa, 0xaa}},
      {"resend", {0xee, 0xfe, 0xfe}, {0xee, 0xee, 0xee}},
      {"all keys typematic, of set 3", {0xf7}, {0xfe}},
      {"no command", {0x00}, {0xfe}},
      {"no command", {0xec}, {0xfe}},
      {"no command", {0xf1}, {0xfe}},
      {"a command where an argument is due", {0xed, 0xee}, {0xfa, 0xee}},
      {"and then no argument", {0xed, 0xee, 0x05}, {0xfa, 0xee, 0xfe}},
      {"highest argument", {0xed, 0xec, 0xee}, {0xfa, 0xfa, 0xee}},
  };
  for (const auto& row : kTable) {
    SCOPED_TRACE(row.name);
    Bench bench;
    EXPECT_THAT(bench.Send(row.bytes), ElementsAreArray(row.answers));
  }
}

TEST(Ps2KeyboardTest, Leds) {
  Bench bench;
  bench.Send({0xed, 0xea});
  EXPECT_EQ(bench.keyboard.leds(), 0x02);
  bench.Send({0xf5});
  EXPECT_EQ(bench.keyboard.leds(), 0x02);
  bench.Send({0xff});
  EXPECT_EQ(bench.keyboard.leds(), 0x00);
}

TEST(Ps2KeyboardTest, Typematic) {
  Bench bench;
  EXPECT_EQ(bench.keyboard.Save().typematic, 0x2b);
  bench.Send({0xf3, 0xe0});
  EXPECT_EQ(bench.keyboard.Save().typematic, 0x60);
  bench.Send({0xf6});
  EXPECT_EQ(bench.keyboard.Save().typematic, 0x2b);
}

TEST(Ps2KeyboardTest, KeyCodes) {
  const struct {
    Ps2Key key;
    std::vector<int> press;
    std::vector<int> release;
  } kTable[] = {
      {Ps2Key::kA, {0x1c}, {0xf0, 0x1c}},
      {Ps2Key::kF7, {0x83}, {0xf0, 0x83}},
      {Ps2Key::kRightCtrl, {0xe0, 0x14}, {0xe0, 0xf0, 0x14}},
      {Ps2Key::kPause, {0xe1, 0x14, 0x77, 0xe1, 0xf0, 0x14, 0xf0, 0x77}, {}},
  };
  for (const auto& row : kTable) {
    Bench bench;
    EXPECT_TRUE(bench.keyboard.Press(row.key));
    EXPECT_THAT(bench.Drain(), ElementsAreArray(row.press));
    EXPECT_TRUE(bench.keyboard.Release(row.key));
    EXPECT_THAT(bench.Drain(), ElementsAreArray(row.release));
  }
}

TEST(Ps2KeyboardTest, ChordsAreReleasedInTheOppositeOrder) {
  Bench bench;
  constexpr Ps2Key kKeys[] = {Ps2Key::kLeftShift, Ps2Key::kA};
  EXPECT_TRUE(bench.keyboard.Strike(kKeys));
  EXPECT_THAT(bench.Drain(), ElementsAre(0x12, 0x1c, 0xf0, 0x1c, 0xf0, 0x12));
  const std::vector<Ps2Key> many(1000, Ps2Key::kA);
  EXPECT_FALSE(bench.keyboard.Strike(many));
  EXPECT_THAT(bench.Drain(), IsEmpty());
}

TEST(Ps2KeyboardTest, QueueIsBoundedAndTakesWholeCodesOnly) {
  Bench bench;
  for (int i = 0; i < 63; ++i) EXPECT_TRUE(bench.keyboard.Press(Ps2Key::kA));
  EXPECT_FALSE(bench.keyboard.Release(Ps2Key::kA));
  EXPECT_TRUE(bench.keyboard.Press(Ps2Key::kB));
  EXPECT_FALSE(bench.keyboard.Press(Ps2Key::kC));
  // An answer has its own room.
  bench.keyboard.Send(0xf2);
  std::vector<int> expected = {0xfa, 0xab, 0x83};
  expected.insert(expected.end(), 63, 0x1c);
  expected.push_back(0x32);
  EXPECT_THAT(bench.Drain(), ElementsAreArray(expected));
  EXPECT_TRUE(bench.keyboard.Press(Ps2Key::kC));
}

TEST(Ps2KeyboardTest, AnswersOvertakeKeysButNotWithinACode) {
  Bench bench;
  EXPECT_TRUE(bench.keyboard.Release(Ps2Key::kRight));  // e0 f0 74
  EXPECT_TRUE(bench.keyboard.Press(Ps2Key::kA));
  EXPECT_EQ(bench.keyboard.Take(), 0xe0);
  bench.keyboard.Send(0xee);
  EXPECT_THAT(bench.Drain(), ElementsAre(0xf0, 0x74, 0xee, 0x1c));
}

TEST(Ps2KeyboardTest, ScanningOnAndOff) {
  Bench bench;
  bench.Send({0xf5});
  EXPECT_FALSE(bench.keyboard.Press(Ps2Key::kA));
  EXPECT_THAT(bench.Drain(), IsEmpty());
  bench.Send({0xf6});
  EXPECT_FALSE(bench.keyboard.Press(Ps2Key::kA));
  bench.Send({0xf4});
  EXPECT_TRUE(bench.keyboard.Press(Ps2Key::kA));
  bench.Send({0xf5, 0xff});
  EXPECT_TRUE(bench.keyboard.Press(Ps2Key::kA));
}

TEST(Ps2KeyboardTest, CommandsThatThrowKeysAway) {
  for (const uint8_t command : {0xf4, 0xf5, 0xf6, 0xff}) {
    Bench bench;
    EXPECT_TRUE(bench.keyboard.Release(Ps2Key::kA));
    EXPECT_EQ(bench.keyboard.Take(), 0xf0);
    bench.keyboard.Send(command);
    EXPECT_EQ(bench.keyboard.Take(), 0xfa);
    const std::vector<int> rest = bench.Drain();
    if (command == 0xff) {
      EXPECT_THAT(rest, ElementsAre(0xaa));
    } else {
      EXPECT_THAT(rest, IsEmpty());
    }
  }
}

TEST(Ps2KeyboardTest, ACommandThrowsTheOldAnswerAway) {
  Bench bench;
  bench.keyboard.Send(0xf2);
  EXPECT_EQ(bench.keyboard.Take(), 0xfa);
  bench.keyboard.Send(0xee);
  EXPECT_THAT(bench.Drain(), ElementsAre(0xee));
}

TEST(Ps2KeyboardTest, SaveAndRestore) {
  Bench first;
  first.Send({0xed, 0x07, 0xed});
  EXPECT_TRUE(first.keyboard.Release(Ps2Key::kA));
  EXPECT_EQ(first.keyboard.Take(), 0xf0);
  const Ps2KeyboardState state = first.keyboard.Save();
  EXPECT_TRUE(state.in_sequence);
  EXPECT_TRUE(state.Validate().ok());
  Bench second;
  second.keyboard.Restore(state);
  EXPECT_EQ(second.keyboard.Save(), state);
  second.keyboard.Send(0x01);
  EXPECT_THAT(second.Drain(), ElementsAre(0x1c, 0xfa));
  EXPECT_EQ(second.keyboard.leds(), 0x01);
  second.keyboard.Reset();
  EXPECT_EQ(second.keyboard.Save(), Ps2KeyboardState());
}

}  // namespace
}  // namespace libvmm
