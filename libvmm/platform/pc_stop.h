// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_PLATFORM_PC_STOP_H_
#define LIBVMM_PLATFORM_PC_STOP_H_

#include <cstdint>

#include "absl/strings/string_view.h"

namespace libvmm {

// Why a PC stopped. Nothing here is an error of the host: a guest does each of
// them at will. What follows from it is the embedder's choice.
enum class PcStopReason : uint8_t {
  // The guest switched itself off: ACPI sleep state S5.
  kPowerOff,
  // It asked for another sleep state; `code` is its SLP_TYP. The machine can be
  // run on, which the guest takes for having been woken.
  kSleep,
  // It asked for a reset: port 0xcf9, the keyboard controller, port 0x92.
  kReset,
  // A fault while handling a double fault: KVM_EXIT_SHUTDOWN. A real PC resets;
  // some guests do it for that.
  kTripleFault,
  // Its kernel gave up and said so through pvpanic; `code` are the event bits.
  kPanic,
  // All vCPUs have halted with interrupts off, or never started: nothing but
  // the outside can wake them.
  kHalted,
  // It wrote to the exit port; `code` is ExitPort's exit code.
  kExitCode,
  // KVM cannot run it on: `code` is the suberror of KVM_EXIT_INTERNAL_ERROR, or
  // the hardware's reason of KVM_EXIT_FAIL_ENTRY. The vCPU's last Exit has the
  // rest.
  kFailed,
};

// "power-off", "reset": for messages.
[[nodiscard]] absl::string_view PcStopReasonName(PcStopReason reason);

// The end of a machine as a value.
struct PcStop {
  PcStopReason reason = PcStopReason::kPowerOff;
  uint64_t code = 0;
  // Which part of the machine it came through: "ACPI PM1a", "port 0xcf9". Never
  // empty, lives for ever.
  absl::string_view source = "";
};

}  // namespace libvmm

#endif  // LIBVMM_PLATFORM_PC_STOP_H_
