// SPDX-License-Identifier: Apache-2.0
#include "libvmm/platform/pc_stop.h"

namespace libvmm {

absl::string_view PcStopReasonName(PcStopReason reason) {
  switch (reason) {
    case PcStopReason::kPowerOff:
      return "power-off";
    case PcStopReason::kSleep:
      return "sleep";
    case PcStopReason::kReset:
      return "reset";
    case PcStopReason::kTripleFault:
      return "triple fault";
    case PcStopReason::kPanic:
      return "panic";
    case PcStopReason::kHalted:
      return "halted";
    case PcStopReason::kExitCode:
      return "exit code";
    case PcStopReason::kFailed:
      return "failed";
  }
  return "";
}

}  // namespace libvmm
