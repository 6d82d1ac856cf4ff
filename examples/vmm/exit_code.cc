// SPDX-License-Identifier: Apache-2.0
#include "examples/vmm/exit_code.h"

namespace vmm {

using libvmm::PcStop;
using libvmm::PcStopReason;

int ExitCode(const PcStop& stop) {
  switch (stop.reason) {
    case PcStopReason::kPowerOff:
      return 0;
    case PcStopReason::kReset:
      return 3;
    case PcStopReason::kPanic:
      return 4;
    case PcStopReason::kTripleFault:
      return 5;
    case PcStopReason::kHalted:
      return 6;
    case PcStopReason::kFailed:
      return 7;
    case PcStopReason::kSleep:
      return 8;
    case PcStopReason::kExitCode:
      return static_cast<int>(stop.code & 0xff);
  }
  return kExitHost;
}

}  // namespace vmm
