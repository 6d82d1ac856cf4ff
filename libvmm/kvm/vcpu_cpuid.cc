// SPDX-License-Identifier: Apache-2.0
#include "libvmm/kvm/vcpu_cpuid.h"

#include "absl/strings/str_cat.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/vcpu_ioctl.h"

namespace libvmm {

// Both go through the register cache: the answers for OSXSAVE and OSPKE follow
// CR4, and a new list can change CR0 and CR4 bits that the guest may own.
absl::Status SetCpuid(Vcpu& vcpu, const Cpuid& cpuid) {
  return internal::WriteVcpu(
             vcpu, LIBVMM_IOCTL(KVM_SET_CPUID2), cpuid.get(),
             absl::StrCat("vCPU ", vcpu.id(), ", ", cpuid.size(), " entries"))
      .status();
}

absl::StatusOr<Cpuid> GetCpuid(Vcpu& vcpu) {
  if (absl::Status status = vcpu.FlushRegisters(); !status.ok()) return status;
  return Cpuid::QueryVcpu(vcpu.fd());
}

}  // namespace libvmm
