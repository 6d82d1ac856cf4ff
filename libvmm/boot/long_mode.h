// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_BOOT_LONG_MODE_H_
#define LIBVMM_BOOT_LONG_MODE_H_

#include <cstdint>
#include <span>

#include "absl/status/status.h"
#include "libvmm/base/address.h"
#include "libvmm/boot/page_tables.h"
#include "libvmm/kvm/vcpu.h"
#include "libvmm/memory/guest_memory.h"

struct kvm_regs;
struct kvm_sregs;

namespace libvmm {

enum class Privilege : uint8_t {
  kKernel,  // CPL 0
  kUser,    // CPL 3 with access to all ports; HLT does not work
};

// How a vCPU starts in 64-bit long mode.
struct LongModeStart {
  // First instruction, and where the stack grows down from. The System V ABI
  // wants a function entered with stack_top + 8 on a 16-byte boundary.
  Gva entry{};
  Gva stack_top{};
  Privilege privilege = Privilege::kKernel;
  // Where descriptor table, task-state segment and page tables go; start and
  // size are multiples of 4 KiB. The former two take the first page, for user
  // code three (its I/O permission bitmap); the rest is the space of
  // PageTables. 64 KiB do for some ranges in the first GiB.
  GpaRange tables{};
  // What the guest sees. Two ranges may not share a page of gva.
  std::span<const PageMapping> mappings{};
  // No larger page is used; see PageTables.
  PageTables::Leaf largest_page = PageTables::Leaf::k2MiB;
};

// Sets the registers that `start` determines, and clears the general ones: CR0
// has PE, MP, ET, NE, WP, AM and PG; CR4 PAE, OSFXSR and OSXMMEXCPT; EFER LME,
// LMA and NXE; IOPL is 3 for user code. Segments follow Gdt::LongMode.
// Interrupts are off, and there is no IDT, so that any exception ends in a
// shutdown exit. In `sregs` only the APIC base and CR8 are left as they were.
void SetLongMode(const LongModeStart& start, kvm_sregs& sregs, kvm_regs& regs);

// Builds the tables in guest memory and makes `vcpu` start like that at its
// next Run. WP is on: read-only pages are so for CPL 0 too. The pages of
// descriptor table and task state are mapped at gva == gpa unless the mappings
// do that; what a mapping covers of start.tables is never reachable from CPL 3.
//
// The caller must have given the vCPU a CPUID (Kvm::SupportedCpuid will do):
// KVM takes from it that the guest's CPU has long mode, NX and large pages, and
// without it the first fetch ends in a shutdown exit.
//
//   kInvalidArgument    tables not a multiple of 4 KiB or too few pages; entry
//                       not executable, or the bytes below stack_top not
//                       writable, at that privilege; a mapping that
//                       PageTables::Map refuses
//   kAlreadyExists      mappings overlap, or show something else at the gva
//                       where the first pages of start.tables stand
//   kResourceExhausted  start.tables is too small for the page tables
//   kOutOfRange         start.tables is not in writable guest memory
// Otherwise the kernel's, to reading the registers. On an error neither memory
// nor the vCPU has changed.
//
// Thread-safety: vCPU-thread.
// Cost: two vCPU ioctls; with KVM_CAP_SYNC_REGS writing back costs none. 4 KiB
//     of heap per table meanwhile.
absl::Status EnterLongMode(Vcpu& vcpu, GuestMemory& memory,
                           const LongModeStart& start);

}  // namespace libvmm

#endif  // LIBVMM_BOOT_LONG_MODE_H_
