// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_KVM_VCPU_CPUID_H_
#define LIBVMM_KVM_VCPU_CPUID_H_

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "libvmm/kvm/cpuid.h"
#include "libvmm/kvm/vcpu.h"

namespace libvmm {

// KVM_SET_CPUID2: decides what the CPUID instruction answers on this vCPU, and
// with it which features, MSRs and state KVM gives it. Belongs before the first
// Run and before XSAVE state or MSRs are set. After the first Run the kernel
// accepts only the list that GetCpuid reads back, which can differ in order and
// run-time bits from the one that was set.
//
// Thread-safety: as Vcpu, not while it runs.
// Errors: kInvalidArgument when the kernel refuses the list or the vCPU has
//     run; kResourceExhausted when its features need more vector state than
//     allowed.
// Cost: one vCPU ioctl, 0.1 ms where CPUID traps to an outer hypervisor.
absl::Status SetCpuid(Vcpu& vcpu, const Cpuid& cpuid);

// KVM_GET_CPUID2: the list as KVM keeps it.
absl::StatusOr<Cpuid> GetCpuid(Vcpu& vcpu);

}  // namespace libvmm

#endif  // LIBVMM_KVM_VCPU_CPUID_H_
