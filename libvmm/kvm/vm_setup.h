// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_KVM_VM_SETUP_H_
#define LIBVMM_KVM_VM_SETUP_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "libvmm/base/address.h"
#include "libvmm/kvm/vm.h"

namespace libvmm {

// Settings of a VM that are plain system calls of their own, most of them once
// and before the first vCPU. Those that switch a capability on are in
// vm_capabilities.h.
//
// Thread-safety: thread-safe.
// Ownership: none; the settings live with the VM.
// Errors: kUnimplemented names the capability where it is absent; others as each
//     call says.
// Cost: two system calls each.

// Guest memory that KVM itself uses on Intel processors: three pages for a task
// state segment and one for a page table, while the guest is in real mode or
// has no paging. They must lie below 4 GiB, apart from RAM, devices and the
// APIC page; where they must not be, VmMemory::Reserve keeps slots away.
inline constexpr uint64_t kTssSize = 3 * 4096;
inline constexpr uint64_t kIdentityMapSize = 4096;

// KVM_SET_TSS_ADDR: kTssSize bytes at `gpa`. kInvalidArgument when it is not
// page aligned, not below 4 GiB, or covers the local APIC's or IOAPIC's page.
// kAlreadyExists (EEXIST) when a slot lies there, on processors that use it.
absl::Status SetTssAddress(const Vm& vm, Gpa gpa);

// KVM_SET_IDENTITY_MAP_ADDR: kIdentityMapSize bytes at `gpa`, before any vCPU
// (kInvalidArgument). The same rules.
absl::Status SetIdentityMapAddress(const Vm& vm, Gpa gpa);

// KVM_SET_BOOT_CPU_ID: the vCPU that starts as the bootstrap processor; 0
// without this call. Before any vCPU, else kFailedPrecondition (EBUSY).
absl::Status SetBootVcpuId(const Vm& vm, uint32_t vcpu_id);

// KVM_SET_NR_MMU_PAGES: at most so many 4 KiB pages of shadow page tables, at
// least 64 (kInvalidArgument). It bounds the kernel's memory for the VM where
// KVM shadows page tables.
absl::Status SetMmuPageLimit(const Vm& vm, uint32_t page_count);

// KVM_GET_NR_MMU_PAGES: the same number read. kUnimplemented on kernels that
// have dropped the call (6.4 and later).
absl::StatusOr<uint32_t> GetMmuPageLimit(const Vm& vm);

// KVM_SET_TSC_KHZ on the VM: the TSC frequency in kHz that vCPUs made from now
// on start with. kInvalidArgument where the processor cannot scale to it, zero
// included.
absl::Status SetVmTscKhz(const Vm& vm, uint32_t khz);

// KVM_GET_TSC_KHZ on the VM.
absl::StatusOr<uint32_t> GetVmTscKhz(const Vm& vm);

}  // namespace libvmm

#endif  // LIBVMM_KVM_VM_SETUP_H_
