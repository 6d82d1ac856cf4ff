// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/keyboard/ps2_keyboard.h"

#include <algorithm>

namespace libvmm {

using namespace ps2_keyboard;  // NOLINT: the manual's names.

namespace {

constexpr uint8_t Byte(Reply reply) { return static_cast<uint8_t>(reply); }

// A key's last byte, and the prefix before it or zero.
constexpr uint8_t Code(Ps2Key key) { return static_cast<uint8_t>(key); }
constexpr uint8_t Prefix(Ps2Key key) {
  return static_cast<uint8_t>(static_cast<uint16_t>(key) >> 8);
}

bool IsPrefix(uint8_t byte) {
  return byte == kBreak || byte == kExtended || byte == kExtended1;
}

// Takes the first byte out of `queue`.
template <typename Queue>
uint8_t Pop(Queue& queue, uint8_t& count) {
  const uint8_t byte = queue[0];
  std::copy(queue.begin() + 1, queue.begin() + count, queue.begin());
  --count;
  return byte;
}

}  // namespace

void Ps2Keyboard::Send(uint8_t byte) {
  // Each way out of here is an answer, which replaces what was left of the last.
  if (state_.pending_command != 0 && byte < kFirstCommand) {
    return Argument(byte);
  }
  state_.pending_command = 0;
  switch (static_cast<Command>(byte)) {
    case Command::kSetLeds:
    case Command::kScanCodeSet:
    case Command::kSetTypematic:
      state_.pending_command = byte;
      return Acknowledge();
    case Command::kEcho:
      return Reply(std::array{Byte(Reply::kEcho)});
    case Command::kIdentify:
      return Reply(std::array{Byte(Reply::kAck), kIdentity[0], kIdentity[1]});
    case Command::kEnable:
      state_.key_count = 0;
      state_.in_sequence = false;
      state_.scanning = true;
      return Acknowledge();
    case Command::kDisable:
      SetDefaults();
      state_.scanning = false;
      return Acknowledge();
    case Command::kSetDefaults:
      SetDefaults();
      return Acknowledge();
    case Command::kResend:
      return Reply(std::array{state_.last_sent});
    case Command::kReset:
      state_ = Ps2KeyboardState();
      return Reply(std::array{Byte(Reply::kAck), Byte(Reply::kTestPassed)});
  }
  Reply(std::array{Byte(Reply::kResend)});
}

void Ps2Keyboard::Argument(uint8_t byte) {
  const auto command = static_cast<Command>(state_.pending_command);
  state_.pending_command = 0;
  switch (command) {
    case Command::kSetLeds:
      state_.leds = byte & kLedMask;
      return Acknowledge();
    case Command::kSetTypematic:
      state_.typematic = byte & kTypematicMask;
      return Acknowledge();
    case Command::kScanCodeSet:
      if (byte == 0) {
        return Reply(std::array{Byte(Reply::kAck), kScanCodeSet2});
      }
      if (byte == kScanCodeSet2) return Acknowledge();
      break;
    default:
      break;
  }
  Reply(std::array{Byte(Reply::kResend)});
}

void Ps2Keyboard::SetDefaults() {
  state_.key_count = 0;
  state_.in_sequence = false;
  state_.typematic = kDefaultTypematic;
}

void Ps2Keyboard::Reply(std::span<const uint8_t> bytes) {
  std::ranges::copy(bytes, state_.replies.begin());
  state_.reply_count = static_cast<uint8_t>(bytes.size());
}

void Ps2Keyboard::Acknowledge() { Reply(std::array{Byte(Reply::kAck)}); }

std::optional<uint8_t> Ps2Keyboard::Take() {
  if (!has_byte()) return std::nullopt;
  if (state_.reply_count != 0 && !state_.in_sequence) {
    state_.last_sent = Pop(state_.replies, state_.reply_count);
  } else {
    state_.last_sent = Pop(state_.keys, state_.key_count);
    state_.in_sequence = IsPrefix(state_.last_sent) && state_.key_count != 0;
  }
  return state_.last_sent;
}

void Ps2Keyboard::Codes::Add(uint8_t byte) {
  if (count == bytes.size()) {
    overflow = true;
  } else {
    bytes[count++] = byte;
  }
}

void Ps2Keyboard::Codes::Make(Ps2Key key) {
  if (key == Ps2Key::kPause) {
    const uint8_t ctrl = Code(Ps2Key::kLeftCtrl);
    const uint8_t num_lock = Code(Ps2Key::kNumLock);
    for (const uint8_t byte : {kExtended1, ctrl, num_lock, kExtended1, kBreak,
                               ctrl, kBreak, num_lock}) {
      Add(byte);
    }
    return;
  }
  if (Prefix(key) != 0) Add(Prefix(key));
  Add(Code(key));
}

void Ps2Keyboard::Codes::Break(Ps2Key key) {
  if (key == Ps2Key::kPause) return;
  if (Prefix(key) != 0) Add(Prefix(key));
  Add(kBreak);
  Add(Code(key));
}

bool Ps2Keyboard::Press(Ps2Key key) {
  Codes codes;
  codes.Make(key);
  return Queue(codes);
}

bool Ps2Keyboard::Release(Ps2Key key) {
  Codes codes;
  codes.Break(key);
  return Queue(codes);
}

bool Ps2Keyboard::Strike(std::span<const Ps2Key> keys) {
  Codes codes;
  for (const Ps2Key key : keys) codes.Make(key);
  for (size_t i = keys.size(); i != 0; --i) codes.Break(keys[i - 1]);
  return Queue(codes);
}

bool Ps2Keyboard::Queue(const Codes& codes) {
  if (!state_.scanning || codes.overflow ||
      codes.count > state_.keys.size() - state_.key_count) {
    return false;
  }
  std::copy_n(codes.bytes.begin(), codes.count,
              state_.keys.begin() + state_.key_count);
  state_.key_count += codes.count;
  return true;
}

Ps2KeyboardState Ps2Keyboard::Save() const {
  Ps2KeyboardState state = state_;
  // What is left behind the counts is history: equal states compare equal.
  std::fill(state.replies.begin() + state.reply_count, state.replies.end(),
            uint8_t{0});
  std::fill(state.keys.begin() + state.key_count, state.keys.end(), uint8_t{0});
  return state;
}

}  // namespace libvmm
