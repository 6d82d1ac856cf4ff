// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_KEYBOARD_PS2_KEYBOARD_STATE_H_
#define LIBVMM_DEVICES_KEYBOARD_PS2_KEYBOARD_STATE_H_

#include <array>
#include <cstdint>

#include "absl/status/status.h"
#include "libvmm/devices/keyboard/ps2_keyboard_registers.h"

namespace libvmm {

// All that a Ps2Keyboard remembers. A default one is the state after power-on.
//
// Thread-safety: thread-compatible value.
struct Ps2KeyboardState {
  static constexpr uint8_t kMaxKeys = 64;
  static constexpr uint8_t kMaxReplies = 3;

  bool scanning = true;
  uint8_t leds = 0;
  uint8_t typematic = ps2_keyboard::kDefaultTypematic;
  // The Command whose argument comes next; zero if none.
  uint8_t pending_command = 0;
  // What kResend gives: the byte taken last.
  uint8_t last_sent = 0;
  // The byte taken last was a prefix out of `keys`: the rest of its sequence
  // comes before any reply.
  bool in_sequence = false;
  // Not taken yet, oldest first.
  uint8_t reply_count = 0;
  std::array<uint8_t, kMaxReplies> replies{};
  uint8_t key_count = 0;
  std::array<uint8_t, kMaxKeys> keys{};

  friend bool operator==(const Ps2KeyboardState&,
                         const Ps2KeyboardState&) = default;

  // kInvalidArgument names the first field that no keyboard could have reached,
  // and its value. Entries behind the counts are not looked at.
  [[nodiscard]] absl::Status Validate() const;
};

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_KEYBOARD_PS2_KEYBOARD_STATE_H_
