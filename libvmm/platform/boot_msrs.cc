// SPDX-License-Identifier: Apache-2.0
#include "libvmm/platform/boot_msrs.h"

#include <variant>

#include "libvmm/kvm/cpuid_edit.h"
#include "libvmm/kvm/cpuid_registers.h"
#include "libvmm/kvm/msr_registers.h"

namespace libvmm {

Msrs BootMsrs(const CpuPolicy& policy, const Cpuid& cpuid) {
  constexpr uint32_t kZero[] = {
      msr::kSysenterCs, msr::kSysenterEsp,  msr::kSysenterEip,
      msr::kStar,       msr::kLstar,        msr::kCstar,
      msr::kFmask,      msr::kKernelGsBase, msr::kTsc,
  };
  Msrs msrs(kZero);
  msrs.Set(
      {.index = msr::kMiscEnable, .value = msr::MiscEnableFastStrings::Of(1)});
  msrs.Set({.index = msr::kMtrrDefType,
            .value = msr::MtrrEnable::Of(1) |
                     msr::MtrrType::Of(
                         static_cast<uint64_t>(msr::MemoryType::kWriteBack))});
  if (cpuid::Vmx::Get(ReadLeaf(cpuid, {.function = cpuid::kVersion},
                               CpuidRegister::kEcx)) != 0) {
    msrs.Set({.index = msr::kFeatureControl,
              .value = msr::FeatureControlLock::Of(1) |
                       msr::FeatureControlVmx::Of(1)});
  }
  if (const auto* const custom = std::get_if<CustomCpu>(&policy.model)) {
    for (const Msr& own : custom->msrs.entries()) msrs.Set(own);
  }
  return msrs;
}

absl::Status WriteBootMsrs(Vcpu& vcpu, const CpuPolicy& policy,
                           const Cpuid& cpuid) {
  return BootMsrs(policy, cpuid).WriteTo(vcpu, OnRefusedMsr::kFail).status();
}

}  // namespace libvmm
