// SPDX-License-Identifier: Apache-2.0
#include "libvmm/testing/kvm_faults.h"

#include <cstdint>
#include <optional>
#include <utility>

#include "libvmm/base/status_macros.h"
#include "libvmm/kvm/abi.h"

namespace libvmm::testing {

FaultScenario KvmScenario(const char* name) {
  return FaultScenario(name)
      .MaySurvive("KVM_CHECK_EXTENSION", {}, "counts as absent")
      .MayGiveCode("KVM_CHECK_EXTENSION", {}, absl::StatusCode::kUnimplemented,
                   "counts as absent")
      .MaySurvive("membarrier", {}, "full fences instead");
}

const Kvm& SharedKvm() {
  static const Kvm* const kvm =
      WithoutFaults([] { return new Kvm(std::move(Kvm::Open()).value()); });
  return *kvm;
}

FaultScenario::Answer HasCapability(unsigned capability, int value) {
  return [capability, value](uintptr_t argument) {
    return argument == capability ? std::optional(value) : std::nullopt;
  };
}

FaultScenario::Answer EnablesCapability(unsigned capability) {
  return [capability](uintptr_t argument) {
    const auto& cap = *reinterpret_cast<const kvm_enable_cap*>(argument);
    return cap.cap == capability ? std::optional(0) : std::nullopt;
  };
}

absl::StatusOr<Exit> RunToExit(Vcpu& vcpu) {
  for (int i = 0; i < 10; ++i) {
    LIBVMM_ASSIGN_OR_RETURN(const Exit exit, vcpu.Run());
    if (exit.reason() == ExitReason::kRetry) {
      return absl::UnavailableError("KVM_RUN: the vCPU was parked");
    }
    if (exit.reason() != ExitReason::kInterrupted) return exit;
  }
  return absl::InternalError("no exit in ten runs");
}

}  // namespace libvmm::testing
