// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_PLATFORM_BOOT_MSRS_H_
#define LIBVMM_PLATFORM_BOOT_MSRS_H_

#include "absl/status/status.h"
#include "libvmm/kvm/cpuid.h"
#include "libvmm/kvm/msrs.h"
#include "libvmm/kvm/vcpu.h"
#include "libvmm/platform/cpu_policy.h"

namespace libvmm {

// The MSRs with which firmware would hand a processor to an operating system,
// for guests that are started without firmware (Intel SDM volume 4; volume 3,
// chapter 12.11 for MTRRs):
//
//   SYSENTER_CS, _ESP, _EIP, STAR, LSTAR, CSTAR, FMASK, KERNEL_GS_BASE, TSC
//                   zero
//   MISC_ENABLE     fast strings
//   MTRR_DEF_TYPE   MTRRs on, write-back: all memory is cacheable
//   FEATURE_CONTROL locked with VMX allowed; only when `cpuid` shows VMX
//
// then those of a CustomCpu, which replace the ones above. `cpuid` is the list
// that the vCPU was given.
[[nodiscard]] Msrs BootMsrs(const CpuPolicy& policy, const Cpuid& cpuid);

// Writes them; after SetCpuid, which decides what exists, and after the TSC
// rate was chosen.
//
// Thread-safety: as Vcpu, not while it runs.
// Errors: kInvalidArgument names an MSR that KVM refuses and its value: it
//     comes from a CustomCpu.
// Cost: one vCPU ioctl.
absl::Status WriteBootMsrs(Vcpu& vcpu, const CpuPolicy& policy,
                           const Cpuid& cpuid);

}  // namespace libvmm

#endif  // LIBVMM_PLATFORM_BOOT_MSRS_H_
