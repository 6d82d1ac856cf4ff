// SPDX-License-Identifier: Apache-2.0
// Every system call of making a PC failing, one at a time.
#include <sys/random.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/kvm/kvm.h"
#include "libvmm/platform/kernel_mode_probe.h"
#include "libvmm/platform/pc.h"
#include "libvmm/testing/fault_check.h"
#include "libvmm/testing/kvm_available.h"
#include "libvmm/testing/kvm_faults.h"
#include "libvmm/testing/sanitizers.h"

namespace libvmm::testing {
namespace {

// The memory of a slot that cannot be deleted stays mapped. Under a sanitizer
// anonymous mappings are not looked at, so nothing is seen to stay.
void AllowUndeletedSlots(FaultScenario& scenario) {
  const char* const kCall = "KVM_SET_USER_MEMORY_REGION";
  if (kSanitized) {
    scenario.Survives(kCall, {}, "a slot that cannot be deleted");
  } else {
    scenario.Keeps(kCall, {}, "a slot that cannot be deleted keeps its memory");
  }
}

FaultScenario PcScenario(const char* name) {
  FaultScenario scenario = KvmScenario(name);
  scenario.Survives("KVM_CREATE_VM", {EINTR}, "tried again")
      .Survives("madvise", {EINTR, EINVAL}, "again; then without huge pages")
      .MayGiveCode("KVM_GET_LAPIC", {EINVAL},
                   absl::StatusCode::kFailedPrecondition,
                   "KVM's answer without a local APIC");
  AllowUndeletedSlots(scenario);
  return scenario;
}

absl::Status Make(PcIrqChip irqchip) {
  PcConfig config{.memory = {.size_mib = 4}, .irqchip = irqchip};
  if (irqchip != PcIrqChip::kNone) config.topology.cores_per_socket = 2;
  config.devices.keyboard = true;
  config.devices.fw_cfg = true;
  config.devices.test_device = true;
  return Pc::Create(SharedKvm(), config, PcHost()).status();
}

TEST(PcFaultsTest, InKernelInterrupts) {
  LIBVMM_NEEDS_KVM();
  Check(PcScenario("Pc::Create, kInKernel"),
        [] { return Make(PcIrqChip::kInKernel); });
}

TEST(PcFaultsTest, SplitInterrupts) {
  LIBVMM_NEEDS_KVM();
  Check(PcScenario("Pc::Create, kSplit"),
        [] { return Make(PcIrqChip::kSplit); });
}

TEST(PcFaultsTest, NoApic) {
  LIBVMM_NEEDS_KVM();
  Check(PcScenario("Pc::Create, kNone"), [] { return Make(PcIrqChip::kNone); });
}

TEST(PcFaultsTest, KernelModeProbe) {
  LIBVMM_NEEDS_KVM();
  FaultScenario scenario = KvmScenario("RunsKernelMode");
  scenario.Survives("KVM_CREATE_VM", {EINTR}, "tried again")
      .Survives("KVM_RUN", {EINTR, EAGAIN}, "run again");
  AllowUndeletedSlots(scenario);
  Check(std::move(scenario),
        [] { return RunsKernelMode(SharedKvm()).status(); });
}

}  // namespace
}  // namespace libvmm::testing
