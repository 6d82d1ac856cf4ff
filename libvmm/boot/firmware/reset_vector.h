// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_BOOT_FIRMWARE_RESET_VECTOR_H_
#define LIBVMM_BOOT_FIRMWARE_RESET_VECTOR_H_

#include "absl/status/status.h"
#include "libvmm/kvm/vcpu.h"

struct kvm_regs;
struct kvm_sregs;

namespace libvmm {

// Sets the registers that a reset of the CPU does (Intel SDM volume 3, table
// 10-1): real mode with caches off, CS F000 at base FFFF0000, IP FFF0, so that
// the first instruction is at 0xfffffff0; EDX 0x600, the signature of a P6; all
// else zero. In `sregs` only the APIC base and CR8 are left as they were.
void SetResetVector(kvm_sregs& sregs, kvm_regs& regs);

// Makes `vcpu` start like that at its next Run. KVM creates vCPU 0 so; this is
// for a reset. MSRs, FPU and local APIC are not touched.
//
// Thread-safety: vCPU-thread.
// Errors: the kernel's, to reading the registers.
// Cost: two vCPU ioctls; with KVM_CAP_SYNC_REGS writing back costs none.
absl::Status EnterResetVector(Vcpu& vcpu);

}  // namespace libvmm

#endif  // LIBVMM_BOOT_FIRMWARE_RESET_VECTOR_H_
