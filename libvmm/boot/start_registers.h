// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_BOOT_START_REGISTERS_H_
#define LIBVMM_BOOT_START_REGISTERS_H_

// Internal to libvmm/boot: what the start states of all CPU modes share.

struct kvm_regs;
struct kvm_sregs;

namespace libvmm::internal {

// Clears everything but the APIC base and CR8. Interrupts are off; no LDT; the
// task register holds a busy task-state segment at address zero, since VM entry
// refuses an unusable one (Intel SDM volume 3, chapter 27.3.1.2).
void ClearForStart(kvm_sregs& sregs, kvm_regs& regs);

}  // namespace libvmm::internal

#endif  // LIBVMM_BOOT_START_REGISTERS_H_
