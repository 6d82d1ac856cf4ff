// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/testdev/pc_testdev_state.h"

#include "absl/strings/str_cat.h"

namespace libvmm {

absl::Status PcTestdevState::Validate() const {
  if (lines >> pc_testdev::kIrqCount != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("PcTestdevState.lines is 0x", absl::Hex(lines),
                     ": there are ", pc_testdev::kIrqCount, " lines"));
  }
  if (memory.size() != pc_testdev::kMemorySize) {
    return absl::InvalidArgumentError(
        absl::StrCat("PcTestdevState.memory has ", memory.size(),
                     " bytes: the device has ", pc_testdev::kMemorySize));
  }
  return absl::OkStatus();
}

}  // namespace libvmm
