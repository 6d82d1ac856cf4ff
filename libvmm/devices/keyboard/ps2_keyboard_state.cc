// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/keyboard/ps2_keyboard_state.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace libvmm {
namespace {

using namespace ps2_keyboard;  // NOLINT: the manual's names.

absl::Status Bad(absl::string_view field, uint8_t value,
                 absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat(
      "Ps2KeyboardState.", field, " is 0x", absl::Hex(value), ": ", why));
}

bool TakesArgument(uint8_t command) {
  switch (static_cast<Command>(command)) {
    case Command::kSetLeds:
    case Command::kScanCodeSet:
    case Command::kSetTypematic:
      return true;
    default:
      return false;
  }
}

}  // namespace

absl::Status Ps2KeyboardState::Validate() const {
  if ((leds & ~kLedMask) != 0) return Bad("leds", leds, "there are three");
  if ((typematic & ~kTypematicMask) != 0) {
    return Bad("typematic", typematic, "it has 7 bits");
  }
  if (pending_command != 0 && !TakesArgument(pending_command)) {
    return Bad("pending_command", pending_command,
               "not a command with an argument");
  }
  if (reply_count > kMaxReplies) {
    return Bad("reply_count", reply_count, "more than a command's answer");
  }
  if (key_count > kMaxKeys) {
    return Bad("key_count", key_count, "more than the queue holds");
  }
  if (in_sequence && key_count == 0) {
    return Bad("in_sequence", in_sequence, "no key is left");
  }
  return absl::OkStatus();
}

}  // namespace libvmm
