// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_KEYBOARD_PS2_KEYBOARD_H_
#define LIBVMM_DEVICES_KEYBOARD_PS2_KEYBOARD_H_

#include <array>
#include <cstdint>
#include <optional>
#include <span>

#include "libvmm/devices/keyboard/ps2_key.h"
#include "libvmm/devices/keyboard/ps2_keyboard_state.h"

namespace libvmm {

// The keyboard at the end of an I8042's wire: a PS/2 keyboard that speaks scan
// code set 2 only (ps2_keyboard_registers.h). It answers other sets, and the
// commands of set 3, as not understood. It does not repeat keys by itself:
// whoever presses them does, as window systems do.
//
// A command throws away what was left of the answer to the one before; kEnable,
// kDisable, kSetDefaults and kReset throw away keys too. Answers overtake keys,
// but do not come between the bytes of one scan code.
//
// Thread-safety: thread-compatible; its controller has a lock.
// Errors: none. State comes in checked by its controller.
// Cost: no allocation; at most 64 bytes moved.
class Ps2Keyboard {
 public:
  // The controller's side: a byte to the keyboard, and the next one from it.
  void Send(uint8_t byte);
  [[nodiscard]] bool has_byte() const {
    return state_.reply_count != 0 || state_.key_count != 0;
  }
  [[nodiscard]] std::optional<uint8_t> Take();

  // The user's side. All of the sequence is queued, or nothing: false when
  // there is no room, or the guest has turned scanning off.
  [[nodiscard]] bool Press(Ps2Key key);
  [[nodiscard]] bool Release(Ps2Key key);
  // Presses all in this order, releases all in the opposite one: a chord.
  [[nodiscard]] bool Strike(std::span<const Ps2Key> keys);

  // ps2_keyboard::kLedMask bits that the guest has lit.
  [[nodiscard]] uint8_t leds() const { return state_.leds; }

  // As after power-on.
  void Reset() { state_ = Ps2KeyboardState(); }

  [[nodiscard]] Ps2KeyboardState Save() const;
  // `state` is valid.
  void Restore(const Ps2KeyboardState& state) { state_ = state; }

 private:
  // Scan codes on their way into the queue.
  struct Codes {
    std::array<uint8_t, Ps2KeyboardState::kMaxKeys> bytes{};
    uint8_t count = 0;
    bool overflow = false;

    void Add(uint8_t byte);
    void Make(Ps2Key key);
    void Break(Ps2Key key);
  };

  [[nodiscard]] bool Queue(const Codes& codes);
  void Reply(std::span<const uint8_t> bytes);
  void Acknowledge();
  void Argument(uint8_t byte);
  void SetDefaults();

  Ps2KeyboardState state_;
};

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_KEYBOARD_PS2_KEYBOARD_H_
