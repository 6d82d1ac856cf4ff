// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/keyboard/i8042_state.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "libvmm/base/status_macros.h"

namespace libvmm {
namespace {

using namespace i8042;  // NOLINT: the manual's names.

constexpr uint8_t kOutputStatus = StatusAuxOutput::kMask | StatusTimeout::kMask;

bool TakesInput(uint8_t command) {
  if ((command & ~kRamMask) == static_cast<uint8_t>(Command::kWriteRam)) {
    return true;
  }
  switch (static_cast<Command>(command)) {
    case Command::kWriteOutputPort:
    case Command::kWriteKeyboardOutput:
    case Command::kWriteAuxOutput:
    case Command::kWriteAux:
      return true;
    default:
      return false;
  }
}

absl::Status CheckOutput(absl::string_view name,
                         const I8042State::Output& output) {
  if ((output.status & ~kOutputStatus) == 0) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "I8042State.", name, ".status is 0x", absl::Hex(output.status),
      ": only bits of 0x", absl::Hex(kOutputStatus), " can be set"));
}

}  // namespace

absl::Status I8042State::Validate() const {
  if (pending_command != 0 && !TakesInput(pending_command)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "I8042State.pending_command is 0x", absl::Hex(pending_command),
        ": not a command with a data byte"));
  }
  LIBVMM_RETURN_IF_ERROR(CheckOutput("output", output));
  LIBVMM_RETURN_IF_ERROR(CheckOutput("reply", reply));
  if (reply.full && !output.full) {
    return absl::InvalidArgumentError(
        "I8042State.reply.full is 1: the output buffer is empty");
  }
  return keyboard.Validate();
}

}  // namespace libvmm
