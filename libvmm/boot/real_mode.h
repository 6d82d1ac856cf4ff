// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_BOOT_REAL_MODE_H_
#define LIBVMM_BOOT_REAL_MODE_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "libvmm/base/address.h"
#include "libvmm/kvm/vcpu.h"

struct kvm_regs;
struct kvm_sregs;

namespace libvmm {

// How a vCPU starts in 16-bit real mode (Intel SDM volume 3, chapter 21).
struct RealModeStart {
  // First instruction at cs * 16 + ip.
  uint16_t cs = 0;
  uint16_t ip = 0;
  // DS, ES, FS and GS.
  uint16_t ds = 0;
  // The stack grows down from ss * 16 + sp; sp zero is 64 KiB.
  uint16_t ss = 0;
  uint16_t sp = 0;

  // Starts at a linear address, with all segments on the 64 KiB that hold it:
  // below 64 KiB they are zero, as in a flat image linked at its address.
  // kOutOfRange from 1 MiB on.
  static absl::StatusOr<RealModeStart> At(Gpa entry);
};

// Sets the registers that `start` determines, and clears the general ones. In
// `sregs` only the APIC base and CR8 are left as they were.
void SetRealMode(const RealModeStart& start, kvm_sregs& sregs, kvm_regs& regs);

// Makes `vcpu` start like that at its next Run. Interrupts are off and the
// vector table is at address zero. The guest needs no CPUID.
//
// Thread-safety: vCPU-thread.
// Errors: the kernel's, to reading the registers; Run reports refused values.
// Cost: two vCPU ioctls; with KVM_CAP_SYNC_REGS writing back costs none.
absl::Status EnterRealMode(Vcpu& vcpu, const RealModeStart& start);

}  // namespace libvmm

#endif  // LIBVMM_BOOT_REAL_MODE_H_
