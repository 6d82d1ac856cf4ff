// SPDX-License-Identifier: Apache-2.0
// Port accesses and keys on an I8042 in any order. After each one:
//   both interrupt lines are what the output buffer and the command byte make
//   them, told by change, and each byte that is read had its own rise;
//   status and data agree with Save; a full queue empties in bounded reads;
//   a write stops when it pulls the processor's reset, and only then;
//   Save gives a state that Validate accepts and Restore reproduces.
// Input: pairs of an action and its argument.
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <span>

#include "libvmm/devices/io_device.h"
#include "libvmm/devices/keyboard/i8042.h"
#include "libvmm/devices/keyboard/i8042_registers.h"
#include "libvmm/devices/keyboard/i8042_state.h"
#include "libvmm/devices/keyboard/ps2_key.h"
#include "libvmm/devices/keyboard/ps2_keyboard_registers.h"
#include "libvmm/devices/keyboard/ps2_keyboard_state.h"

namespace libvmm {
namespace {

using namespace i8042;  // NOLINT: the manual's names.

#define FUZZ_CHECK(condition)                                              \
  do {                                                                     \
    if (!(condition)) {                                                    \
      std::fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
      std::abort();                                                        \
    }                                                                      \
  } while (false)

// All bytes that can wait: output, the controller's, the keyboard's.
constexpr int kMaxBytes =
    2 + Ps2KeyboardState::kMaxReplies + Ps2KeyboardState::kMaxKeys;

class Session {
 public:
  explicit Session(bool aux)
      : aux_(aux),
        kbd_({.interrupt =
                  [this](bool level) {
                    FUZZ_CHECK(level != level_);
                    level_ = level;
                    if (level) ++rises_;
                  },
              .aux_interrupt =
                  [this](bool level) {
                    FUZZ_CHECK(level != aux_level_);
                    aux_level_ = level;
                  },
              .reset = [this] { ++resets_; },
              .a20 =
                  [this](bool open) {
                    FUZZ_CHECK(open != gate_);
                    gate_ = open;
                  },
              .leds =
                  [this](uint8_t leds) {
                    FUZZ_CHECK(leds != leds_ && leds < 8);
                    leds_ = leds;
                  },
              .aux = aux}) {}

  void Step(uint8_t action, uint8_t argument) {
    switch (action % 12) {
      case 0:
      case 1:
      case 2:
        WriteCommand(argument);
        break;
      case 3:
      case 4:
      case 5:
        WriteData(argument);
        break;
      case 6:
        ReadData();
        break;
      case 7:
        Key(action / 12 * 256 + argument);
        break;
      case 8:
        if (argument < 128) {
          Drain();
        } else {
          SendChord();
        }
        break;
      case 9:
        Wide(action, argument);
        break;
      case 10:
        if (argument == 0) {
          kbd_.Reset();
          FUZZ_CHECK(kbd_.Save() == I8042State());
        }
        break;
      case 11:
        Clone();
        break;
    }
    Check();
  }

 private:
  static uint8_t In(IoDevice& port) {
    std::array<std::byte, 1> data{};
    FUZZ_CHECK(port.Read(0, data) == IoResult::kDone);
    return static_cast<uint8_t>(data[0]);
  }

  void WriteCommand(uint8_t value) {
    const int resets = resets_;
    const std::array data{std::byte{value}};
    const IoResult result = kbd_.command_port().Write(0, data);
    const bool reset = value >= 0xf0 && value % 2 == 0;
    FUZZ_CHECK((result == IoResult::kStop) == reset);
    FUZZ_CHECK(resets_ - resets == (reset ? 1 : 0));
  }

  void WriteData(uint8_t value) {
    const int resets = resets_;
    const bool output_port = kbd_.Save().pending_command == 0xd1;
    const std::array data{std::byte{value}};
    const IoResult result = kbd_.data_port().Write(0, data);
    const bool reset = output_port && value % 2 == 0;
    FUZZ_CHECK((result == IoResult::kStop) == reset);
    FUZZ_CHECK(resets_ - resets == (reset ? 1 : 0));
    FUZZ_CHECK(kbd_.Save().pending_command == 0);
  }

  void ReadData() {
    const I8042State before = kbd_.Save();
    const int rises = rises_;
    FUZZ_CHECK(In(kbd_.data_port()) == before.output.byte);
    const I8042State after = kbd_.Save();
    if (before.reply.full) {
      FUZZ_CHECK(after.output == before.reply);
      FUZZ_CHECK(!after.reply.full);
    }
    // A byte that follows has its own edge.
    FUZZ_CHECK(rises_ - rises == (level_ ? 1 : 0));
  }

  void Key(uint16_t code) {
    const I8042State before = kbd_.Save();
    const bool pressed = (code & 1) != 0 ? kbd_.PressKey(Ps2Key{code})
                                         : kbd_.ReleaseKey(Ps2Key{code});
    FUZZ_CHECK(!pressed || before.keyboard.scanning);
    if (!pressed) FUZZ_CHECK(kbd_.Save() == before);
  }

  void SendChord() {
    const I8042State before = kbd_.Save();
    constexpr int kChordBytes = 11;
    const bool room =
        before.keyboard.key_count + kChordBytes <= Ps2KeyboardState::kMaxKeys;
    FUZZ_CHECK(kbd_.SendCtrlAltDel() == (room && before.keyboard.scanning));
  }

  void Drain() {
    int count = 0;
    while ((In(kbd_.command_port()) & 1) != 0) {
      In(kbd_.data_port());
      FUZZ_CHECK(++count <= kMaxBytes);
    }
    const I8042State state = kbd_.Save();
    FUZZ_CHECK(!state.output.full && !state.reply.full);
    FUZZ_CHECK(
        ByteDisableKeyboard::Get(state.ram[0]) != 0 ||
        (state.keyboard.key_count == 0 && state.keyboard.reply_count == 0));
    FUZZ_CHECK(!level_ && !aux_level_);
  }

  void Wide(uint8_t action, uint8_t argument) {
    std::array<std::byte, 8> data;
    data.fill(std::byte{argument});
    IoDevice& port = action % 2 == 0 ? kbd_.data_port() : kbd_.command_port();
    const std::span bytes = std::span(data).first(argument % 9);
    const I8042State before = kbd_.Save();
    FUZZ_CHECK(port.Write(1, bytes) == IoResult::kDone);
    FUZZ_CHECK(kbd_.Save() == before);
    FUZZ_CHECK(port.Read(0, bytes) == IoResult::kDone);
    for (size_t i = 1; i < bytes.size(); ++i) {
      FUZZ_CHECK(bytes[i] == std::byte{0xff});
    }
    FUZZ_CHECK(port.Read(1 + argument, bytes) == IoResult::kDone);
    for (const std::byte byte : bytes) FUZZ_CHECK(byte == std::byte{0xff});
  }

  void Clone() {
    const I8042State state = kbd_.Save();
    bool level = false;
    bool aux_level = false;
    I8042 copy({.interrupt = [&](bool now) { level = now; },
                .aux_interrupt = [&](bool now) { aux_level = now; },
                .aux = aux_});
    FUZZ_CHECK(copy.Restore(state).ok());
    FUZZ_CHECK(copy.Save() == state);
    FUZZ_CHECK(level == level_ && aux_level == aux_level_);
  }

  void Check() {
    const I8042State state = kbd_.Save();
    FUZZ_CHECK(state.Validate().ok());
    const bool aux = StatusAuxOutput::Get(state.output.status) != 0;
    FUZZ_CHECK(!aux || aux_);
    FUZZ_CHECK(level_ ==
               (state.output.full && !aux && (state.ram[0] & 1) != 0));
    FUZZ_CHECK(aux_level_ ==
               (state.output.full && aux && (state.ram[0] & 2) != 0));
    FUZZ_CHECK(gate_ == state.a20);
    FUZZ_CHECK(leds_ == state.keyboard.leds);
    const uint8_t status = In(kbd_.command_port());
    FUZZ_CHECK((status & 0x92) == 0x10);
    FUZZ_CHECK(((status & 0x01) != 0) == state.output.full);
    FUZZ_CHECK(((status & 0x04) != 0) == ((state.ram[0] & 4) != 0));
    FUZZ_CHECK(((status & 0x08) != 0) == state.last_was_command);
    FUZZ_CHECK((status & 0x60) ==
               (state.output.full ? state.output.status : 0));
  }

  const bool aux_;
  bool level_ = false;
  bool aux_level_ = false;
  int rises_ = 0;
  int resets_ = 0;
  bool gate_ = true;
  uint8_t leds_ = 0;
  I8042 kbd_;
};

}  // namespace
}  // namespace libvmm

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  libvmm::Session session(data[0] % 2 != 0);
  for (size_t i = 1; i + 1 < size; i += 2) session.Step(data[i], data[i + 1]);
  return 0;
}
