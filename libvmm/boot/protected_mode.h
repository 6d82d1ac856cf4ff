// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_BOOT_PROTECTED_MODE_H_
#define LIBVMM_BOOT_PROTECTED_MODE_H_

#include <cstdint>

#include "absl/status/status.h"
#include "libvmm/base/address.h"
#include "libvmm/boot/gdt.h"
#include "libvmm/kvm/vcpu.h"
#include "libvmm/memory/guest_memory.h"

struct kvm_regs;
struct kvm_sregs;

namespace libvmm {

// How a vCPU starts in flat 32-bit protected mode without paging: the state
// that multiboot, PVH and most hand-written loaders expect.
struct ProtectedModeStart {
  // First instruction, below 4 GiB.
  Gpa entry{};
  // ESP; the stack grows down from it.
  Gpa stack_top{};
  // Where the descriptor table goes: kProtectedModeTablesSize bytes below 4
  // GiB, a multiple of 8. The guest may reuse it once it has loaded a GDT of
  // its own.
  Gpa tables{};
};

// GDT (null, code 0x08, data 0x10, task state 0x18) and the task-state segment.
inline constexpr uint64_t kProtectedModeTablesSize = 4 * 8 + kTssSize;

// Sets the registers that `start` determines, and clears the general ones: CR0
// has PE, MP, ET and NE; CS, and DS to SS, are flat and of privilege 0;
// interrupts are off, and there is no IDT, so that any exception ends in a
// shutdown exit. In `sregs` only the APIC base and CR8 are left as they were.
void SetProtectedMode(const ProtectedModeStart& start, kvm_sregs& sregs,
                      kvm_regs& regs);

// Writes the tables and makes `vcpu` start like that at its next Run. The guest
// needs no CPUID.
//   kInvalidArgument  an address above 4 GiB, or unaligned tables
//   kOutOfRange       the tables are not in writable guest memory
// Otherwise the kernel's, to reading the registers. On an error neither memory
// nor the vCPU has changed.
//
// Thread-safety: vCPU-thread.
// Cost: two vCPU ioctls; with KVM_CAP_SYNC_REGS writing back costs none.
absl::Status EnterProtectedMode(Vcpu& vcpu, GuestMemory& memory,
                                const ProtectedModeStart& start);

}  // namespace libvmm

#endif  // LIBVMM_BOOT_PROTECTED_MODE_H_
