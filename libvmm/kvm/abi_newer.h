// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_KVM_ABI_NEWER_H_
#define LIBVMM_KVM_ABI_NEWER_H_

// Part of abi.h, which includes it after <linux/kvm.h>: what kernels after 6.1
// added to the x86 KVM interface. Each name is the kernel's and is defined only
// where the system's header does not have it; a struct is guarded by the macro
// of the call that takes it.

#ifndef __LINUX_KVM_H
#error "include libvmm/kvm/abi.h instead"
#endif

#include <linux/types.h>

#include <cstddef>

// --- Capabilities -----------------------------------------------------------

#ifndef KVM_CAP_PMU_EVENT_MASKED_EVENTS
#define KVM_CAP_PMU_EVENT_MASKED_EVENTS 226
#endif
#ifndef KVM_CAP_USER_MEMORY2
#define KVM_CAP_USER_MEMORY2 231
#endif
#ifndef KVM_CAP_MEMORY_FAULT_INFO
#define KVM_CAP_MEMORY_FAULT_INFO 232
#endif
#ifndef KVM_CAP_MEMORY_ATTRIBUTES
#define KVM_CAP_MEMORY_ATTRIBUTES 233
#endif
#ifndef KVM_CAP_GUEST_MEMFD
#define KVM_CAP_GUEST_MEMFD 234
#endif
#ifndef KVM_CAP_VM_TYPES
#define KVM_CAP_VM_TYPES 235
#endif
#ifndef KVM_CAP_PRE_FAULT_MEMORY
#define KVM_CAP_PRE_FAULT_MEMORY 236
#endif
#ifndef KVM_CAP_X86_APIC_BUS_CYCLES_NS
#define KVM_CAP_X86_APIC_BUS_CYCLES_NS 237
#endif
#ifndef KVM_CAP_X86_GUEST_MODE
#define KVM_CAP_X86_GUEST_MODE 238
#endif
#ifndef KVM_CAP_GUEST_MEMFD_FLAGS
#define KVM_CAP_GUEST_MEMFD_FLAGS 244
#endif

// Arguments of KVM_ENABLE_CAP.
#ifndef KVM_X86_DISABLE_EXITS_APERFMPERF
#define KVM_X86_DISABLE_EXITS_APERFMPERF (1 << 4)
#endif
#ifndef KVM_X2APIC_ENABLE_SUPPRESS_EOI_BROADCAST
#define KVM_X2APIC_ENABLE_SUPPRESS_EOI_BROADCAST (1ULL << 2)
#endif
#ifndef KVM_X2APIC_DISABLE_SUPPRESS_EOI_BROADCAST
#define KVM_X2APIC_DISABLE_SUPPRESS_EOI_BROADCAST (1ULL << 3)
#endif
#ifndef KVM_X86_QUIRK_SLOT_ZAP_ALL
#define KVM_X86_QUIRK_SLOT_ZAP_ALL (1 << 7)
#endif
#ifndef KVM_X86_QUIRK_STUFF_FEATURE_MSRS
#define KVM_X86_QUIRK_STUFF_FEATURE_MSRS (1 << 8)
#endif
#ifndef KVM_X86_QUIRK_IGNORE_GUEST_PAT
#define KVM_X86_QUIRK_IGNORE_GUEST_PAT (1 << 9)
#endif

// --- Virtual machine types, KVM_CREATE_VM -----------------------------------

#ifndef KVM_X86_DEFAULT_VM
#define KVM_X86_DEFAULT_VM 0
#endif
#ifndef KVM_X86_SW_PROTECTED_VM
#define KVM_X86_SW_PROTECTED_VM 1
#endif
#ifndef KVM_X86_SEV_VM
#define KVM_X86_SEV_VM 2
#endif
#ifndef KVM_X86_SEV_ES_VM
#define KVM_X86_SEV_ES_VM 3
#endif
#ifndef KVM_X86_SNP_VM
#define KVM_X86_SNP_VM 4
#endif
#ifndef KVM_X86_TDX_VM
#define KVM_X86_TDX_VM 5
#endif

// --- Memory -----------------------------------------------------------------

#ifndef KVM_MEM_GUEST_MEMFD
#define KVM_MEM_GUEST_MEMFD (1UL << 2)
#endif

#ifndef KVM_SET_USER_MEMORY_REGION2
struct kvm_userspace_memory_region2 {
  __u32 slot;
  __u32 flags;
  __u64 guest_phys_addr;
  __u64 memory_size;
  __u64 userspace_addr;
  __u64 guest_memfd_offset;
  __u32 guest_memfd;
  __u32 pad1;
  __u64 pad2[14];
};
#define KVM_SET_USER_MEMORY_REGION2 \
  _IOW(KVMIO, 0x49, struct kvm_userspace_memory_region2)
#endif

#ifndef KVM_MEMORY_ATTRIBUTE_PRIVATE
#define KVM_MEMORY_ATTRIBUTE_PRIVATE (1ULL << 3)
#endif

#ifndef KVM_SET_MEMORY_ATTRIBUTES
struct kvm_memory_attributes {
  __u64 address;
  __u64 size;
  __u64 attributes;
  __u64 flags;
};
#define KVM_SET_MEMORY_ATTRIBUTES \
  _IOW(KVMIO, 0xd2, struct kvm_memory_attributes)
#endif

#ifndef KVM_CREATE_GUEST_MEMFD
struct kvm_create_guest_memfd {
  __u64 size;
  __u64 flags;
  __u64 reserved[6];
};
#define KVM_CREATE_GUEST_MEMFD _IOWR(KVMIO, 0xd4, struct kvm_create_guest_memfd)
#endif

#ifndef GUEST_MEMFD_FLAG_MMAP
#define GUEST_MEMFD_FLAG_MMAP (1ULL << 0)
#endif
#ifndef GUEST_MEMFD_FLAG_INIT_SHARED
#define GUEST_MEMFD_FLAG_INIT_SHARED (1ULL << 1)
#endif

#ifndef KVM_PRE_FAULT_MEMORY
struct kvm_pre_fault_memory {
  __u64 gpa;
  __u64 size;
  __u64 flags;
  __u64 padding[5];
};
#define KVM_PRE_FAULT_MEMORY _IOWR(KVMIO, 0xd5, struct kvm_pre_fault_memory)
#endif

// Old calls that newer headers drop.
#ifndef KVM_GET_NR_MMU_PAGES
#define KVM_GET_NR_MMU_PAGES _IO(KVMIO, 0x45)
#endif

// --- Exits ------------------------------------------------------------------

#ifndef KVM_EXIT_MEMORY_FAULT
#define KVM_EXIT_MEMORY_FAULT 39
#endif
#ifndef KVM_MEMORY_EXIT_FLAG_PRIVATE
#define KVM_MEMORY_EXIT_FLAG_PRIVATE (1ULL << 3)
#endif
#ifndef KVM_EXIT_TDX
#define KVM_EXIT_TDX 40
#endif
#ifndef KVM_EXIT_SNP_REQ_CERTS
#define KVM_EXIT_SNP_REQ_CERTS 43
#endif
#ifndef KVM_SYSTEM_EVENT_TDX_FATAL
#define KVM_SYSTEM_EVENT_TDX_FATAL 7
#endif
#ifndef KVM_RUN_X86_GUEST_MODE
#define KVM_RUN_X86_GUEST_MODE (1 << 2)
#endif

namespace libvmm {

// An old header's kvm_run has no members for these exits, and a struct cannot
// be extended, so the payloads are given here for every header. Each lies in
// kvm_run at kKvmRunExitPayloadOffset, where all members of the exit union
// start.
inline constexpr size_t kKvmRunExitPayloadOffset = offsetof(kvm_run, hw);
static_assert(kKvmRunExitPayloadOffset == 32);

// KVM_EXIT_MEMORY_FAULT: the guest touched [gpa, gpa + size) in a way its
// backing does not serve. KVM_MEMORY_EXIT_FLAG_PRIVATE: it was a private
// access.
struct KvmMemoryFaultExit {
  __u64 flags;
  __u64 gpa;
  __u64 size;
};
static_assert(sizeof(KvmMemoryFaultExit) == 24);

// KVM_EXIT_TDX: a TDVMCALL for the host. `nr` selects the member.
struct KvmTdxExit {
  __u64 flags;
  __u64 nr;
  union {
    struct {
      __u64 ret;
      __u64 data[5];
    } unknown;
    struct {
      __u64 ret;
      __u64 gpa;
      __u64 size;
    } get_quote;
    struct {
      __u64 ret;
      __u64 leaf;
      __u64 r11;
      __u64 r12;
      __u64 r13;
      __u64 r14;
    } get_tdvmcall_info;
    struct {
      __u64 ret;
      __u64 vector;
    } setup_event_notify;
  } u;
};
static_assert(sizeof(KvmTdxExit) == 64);

// KVM_EXIT_SNP_REQ_CERTS: the guest wants the certificates of its attestation
// report in `npages` pages at `gpa`; `ret` is the answer, an errno value or 0.
struct KvmSnpReqCertsExit {
  __u64 gpa;
  __u64 npages;
  __u64 ret;
};
static_assert(sizeof(KvmSnpReqCertsExit) == 24);

}  // namespace libvmm

// --- Registers by id, KVM_GET_ONE_REG on x86 --------------------------------

// An id is KVM_REG_X86, the size (KVM_REG_SIZE_U64), the type in bits 39:32 and
// the index in bits 31:0.
#ifndef KVM_X86_REG_TYPE_MSR
#define KVM_X86_REG_TYPE_MSR 2
#endif
#ifndef KVM_X86_REG_TYPE_KVM
#define KVM_X86_REG_TYPE_KVM 3
#endif
#ifndef KVM_REG_GUEST_SSP
#define KVM_REG_GUEST_SSP 0
#endif

namespace libvmm {

// The id of one MSR, as KVM_GET_ONE_REG takes it.
constexpr __u64 KvmMsrRegisterId(__u32 msr) {
  return KVM_REG_X86 | KVM_REG_SIZE_U64 |
         (static_cast<__u64>(KVM_X86_REG_TYPE_MSR) << 32) | msr;
}
// The id of one of KVM's own registers, such as KVM_REG_GUEST_SSP.
constexpr __u64 KvmOwnRegisterId(__u32 index) {
  return KVM_REG_X86 | KVM_REG_SIZE_U64 |
         (static_cast<__u64>(KVM_X86_REG_TYPE_KVM) << 32) | index;
}

}  // namespace libvmm

// --- Device attributes ------------------------------------------------------

#ifndef KVM_X86_GRP_SEV
#define KVM_X86_GRP_SEV 1
#endif
#ifndef KVM_X86_SEV_VMSA_FEATURES
#define KVM_X86_SEV_VMSA_FEATURES 0
#endif
#ifndef KVM_X86_SNP_POLICY_BITS
#define KVM_X86_SNP_POLICY_BITS 1
#endif
#ifndef KVM_DEV_VFIO_FILE
#define KVM_DEV_VFIO_FILE 1
#endif
#ifndef KVM_DEV_VFIO_FILE_ADD
#define KVM_DEV_VFIO_FILE_ADD 1
#endif
#ifndef KVM_DEV_VFIO_FILE_DEL
#define KVM_DEV_VFIO_FILE_DEL 2
#endif

// --- Performance counters ---------------------------------------------------

// KVM_SET_PMU_EVENT_FILTER flag, with KVM_CAP_PMU_EVENT_MASKED_EVENTS.
#ifndef KVM_PMU_EVENT_FLAG_MASKED_EVENTS
#define KVM_PMU_EVENT_FLAG_MASKED_EVENTS (1 << 0)
#endif

// --- Xen --------------------------------------------------------------------

#ifndef KVM_XEN_HVM_CONFIG_RUNSTATE_UPDATE_FLAG
#define KVM_XEN_HVM_CONFIG_RUNSTATE_UPDATE_FLAG (1 << 6)
#endif
#ifndef KVM_XEN_HVM_CONFIG_PVCLOCK_TSC_UNSTABLE
#define KVM_XEN_HVM_CONFIG_PVCLOCK_TSC_UNSTABLE (1 << 7)
#endif
#ifndef KVM_XEN_HVM_CONFIG_SHARED_INFO_HVA
#define KVM_XEN_HVM_CONFIG_SHARED_INFO_HVA (1 << 8)
#endif
#ifndef KVM_XEN_ATTR_TYPE_RUNSTATE_UPDATE_FLAG
#define KVM_XEN_ATTR_TYPE_RUNSTATE_UPDATE_FLAG 0x5
#endif
#ifndef KVM_XEN_ATTR_TYPE_SHARED_INFO_HVA
#define KVM_XEN_ATTR_TYPE_SHARED_INFO_HVA 0x6
#endif
#ifndef KVM_XEN_VCPU_ATTR_TYPE_VCPU_INFO_HVA
#define KVM_XEN_VCPU_ATTR_TYPE_VCPU_INFO_HVA 0x9
#endif

#endif  // LIBVMM_KVM_ABI_NEWER_H_
