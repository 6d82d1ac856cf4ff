// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_KEYBOARD_I8042_STATE_H_
#define LIBVMM_DEVICES_KEYBOARD_I8042_STATE_H_

#include <array>
#include <cstdint>

#include "absl/status/status.h"
#include "libvmm/devices/keyboard/i8042_registers.h"
#include "libvmm/devices/keyboard/ps2_keyboard_state.h"

namespace libvmm {

// All that an I8042 and its keyboard remember. Bit layouts are those of
// i8042_registers.h.
//
// Thread-safety: thread-compatible value.
struct I8042State {
  // A byte for the output buffer, and the status bits that go with it:
  // StatusAuxOutput, StatusTimeout.
  struct Output {
    bool full = false;
    uint8_t byte = 0;
    uint8_t status = 0;
    friend bool operator==(const Output&, const Output&) = default;
  };

  // The first is the command byte.
  std::array<uint8_t, i8042::kRamSize> ram{i8042::kDefaultCommandByte};
  bool last_was_command = true;
  bool a20 = true;
  // The Command whose next byte goes to the data port; zero if none.
  uint8_t pending_command = 0;
  // The output buffer, and what the controller puts there next.
  Output output;
  Output reply;
  // The translator has seen a break prefix and holds it back.
  bool break_seen = false;
  Ps2KeyboardState keyboard;

  friend bool operator==(const I8042State&, const I8042State&) = default;

  // kInvalidArgument names the first field that no controller could have
  // reached, and its value.
  [[nodiscard]] absl::Status Validate() const;
};

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_KEYBOARD_I8042_STATE_H_
