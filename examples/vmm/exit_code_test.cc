// SPDX-License-Identifier: Apache-2.0
#include "examples/vmm/exit_code.h"

#include <utility>

#include "gtest/gtest.h"

namespace vmm {
namespace {

using libvmm::PcStop;
using libvmm::PcStopReason;

TEST(ExitCodeTest, EachReasonHasItsOwn) {
  for (const auto& [reason, code] :
       {std::pair(PcStopReason::kPowerOff, 0),
        std::pair(PcStopReason::kReset, 3), std::pair(PcStopReason::kPanic, 4),
        std::pair(PcStopReason::kTripleFault, 5),
        std::pair(PcStopReason::kHalted, 6),
        std::pair(PcStopReason::kFailed, 7),
        std::pair(PcStopReason::kSleep, 8)}) {
    EXPECT_EQ(ExitCode({.reason = reason, .code = 0x21}), code);
  }
}

TEST(ExitCodeTest, TheGuestsOwnIsItsLowByte) {
  EXPECT_EQ(ExitCode({.reason = PcStopReason::kExitCode, .code = 0x121}), 0x21);
}

}  // namespace
}  // namespace vmm
