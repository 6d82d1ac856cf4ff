// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/interrupt/pic_8259a_state.h"

#include <cstddef>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "libvmm/devices/interrupt/pic_8259a_registers.h"

namespace libvmm {

using namespace pic_8259a;  // NOLINT: the datasheet's names.

absl::Status Pic8259aState::Validate() const {
  for (size_t i = 0; i < kChipCount; ++i) {
    const Chip& chip = chips[i];
    const auto bad = [i](absl::string_view field, uint8_t value,
                         absl::string_view why) {
      return absl::InvalidArgumentError(
          absl::StrCat("Pic8259aState.chips[", i, "].", field, " is 0x",
                       absl::Hex(value), ": ", why));
    };
    if ((chip.elcr & ~kElcrMasks[i]) != 0) {
      return bad("elcr", chip.elcr, "an input that is always edge-triggered");
    }
    if (i == 0 && (chip.lines & 1 << kCascade) != 0) {
      return bad("lines", chip.lines, "the slave's input has no line");
    }
    if (((chip.irr ^ chip.lines) & chip.elcr) != 0) {
      return bad("irr", chip.irr, "a level is requested as its line is");
    }
    if ((chip.icw4 & ~kIcw4Mask) != 0) {
      return bad("icw4", chip.icw4, "reserved bits are set");
    }
    if (chip.expects > Expects::kIcw4) {
      return bad("expects", static_cast<uint8_t>(chip.expects), "unknown");
    }
    if (chip.initialized && chip.expects != Expects::kOcw1) {
      return bad("initialized", 1, "an initialization word is missing");
    }
    if (chip.lowest >= kInputs) {
      return bad("lowest", chip.lowest, "there are eight inputs");
    }
  }
  return absl::OkStatus();
}

}  // namespace libvmm
