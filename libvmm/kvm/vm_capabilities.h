// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_KVM_VM_CAPABILITIES_H_
#define LIBVMM_KVM_VM_CAPABILITIES_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "libvmm/kvm/vm.h"

namespace libvmm {

// The opt-in capabilities of a VM (KVM_ENABLE_CAP), typed. Masks are checked
// against what this VM's KVM offers, because the kernel checks only some:
// kInvalidArgument names the bits that are too much, kUnimplemented the
// capability that is absent. "Before vCPUs" means that the kernel answers
// kInvalidArgument once one exists.
//
// Capabilities that belong to an object are there: the split irqchip in
// irqchip.h, dirty rings and manual clearing in dirty_ring.h and dirty_log.h,
// copied and moved encryption contexts in memory_encryption.h.
//
// Thread-safety: thread-safe.
// Cost: two system calls each.

// KVM_CAP_X86_DISABLE_EXITS: lets the guest run these without an exit; bits
// KVM_X86_DISABLE_EXITS_MWAIT, _HLT, _PAUSE, _CSTATE, _APERFMPERF. A guest that
// halts then keeps its host CPU busy. Before vCPUs; cannot be undone.
absl::Status DisableExits(const Vm& vm, uint64_t mask);

// KVM_CAP_MAX_VCPU_ID: vCPU ids will be below `limit`, so that the kernel sizes
// its tables by it. Before vCPUs, once. kInvalidArgument for 0 or more than the
// capability's value.
absl::Status SetVcpuIdLimit(const Vm& vm, uint32_t limit);

// KVM_CAP_X2APIC_API: bits KVM_X2APIC_API_USE_32BIT_IDS and
// KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK, both needed for APIC ids above 254.
// They change the layout of MSIs and of saved local APICs: set them before
// either is used.
absl::Status SetX2ApicApi(const Vm& vm, uint64_t mask);

// KVM_CAP_X86_USER_SPACE_MSR: guest accesses to MSRs that KVM would refuse exit
// as KVM_EXIT_X86_RDMSR and _WRMSR; bits KVM_MSR_EXIT_REASON_INVAL, _UNKNOWN,
// _FILTER say for which reason. Set _FILTER before SetMsrFilter and keep it as
// long.
absl::Status SetMsrExits(const Vm& vm, uint64_t reasons);

// KVM_CAP_EXIT_HYPERCALL: these hypercalls exit instead of being served by KVM;
// bit n is hypercall n.
absl::Status SetHypercallExits(const Vm& vm, uint64_t hypercalls);

// KVM_CAP_EXIT_ON_EMULATION_FAILURE: a guest instruction that KVM cannot
// emulate exits with its bytes, in user mode too, instead of a #UD for the
// guest.
absl::Status SetExitOnEmulationFailure(const Vm& vm, bool on);

// KVM_CAP_X86_BUS_LOCK_EXIT: true makes split locks and uncached locks of the
// guest exit as KVM_EXIT_X86_BUS_LOCK. Before vCPUs.
absl::Status SetBusLockExits(const Vm& vm, bool on);

// KVM_CAP_X86_NOTIFY_VMEXIT: a guest that opens no window for events during
// `window` processor cycles exits as KVM_EXIT_NOTIFY. Before vCPUs.
absl::Status EnableNotifyExits(const Vm& vm, uint32_t window);

// KVM_CAP_EXCEPTION_PAYLOAD and KVM_CAP_X86_TRIPLE_FAULT_EVENT: kvm_vcpu_events
// also carries the CR2 or DR6 value of a pending exception, and a pending
// triple fault. Both are needed to save a vCPU at any point.
absl::Status SetExceptionPayload(const Vm& vm, bool on);
absl::Status SetTripleFaultEvent(const Vm& vm, bool on);

// KVM_CAP_DISABLE_QUIRKS2: switches off old misbehaviour that KVM keeps by
// default; KVM_X86_QUIRK_ bits. On kernels without it the older
// KVM_CAP_DISABLE_QUIRKS is used, which does not tell unknown bits:
// kUnimplemented for any above KVM_X86_QUIRK_MISC_ENABLE_NO_MWAIT there.
absl::Status DisableQuirks(const Vm& vm, uint64_t quirks);

// KVM_CAP_PMU_CAPABILITY: the VM's vCPUs get no performance counters. Before
// vCPUs.
absl::Status DisablePmu(const Vm& vm);

// KVM_CAP_MSR_PLATFORM_INFO: whether the guest may read MSR_PLATFORM_INFO; it
// may without this call.
absl::Status SetPlatformInfoMsr(const Vm& vm, bool readable);

// KVM_CAP_X86_APIC_BUS_CYCLES_NS: nanoseconds per tick of the local APIC's
// timer; 1 without this call. After the irqchip, before vCPUs.
absl::Status SetApicBusCycle(const Vm& vm, uint32_t nanoseconds);

// KVM_CAP_HALT_POLL: how long a halted vCPU polls for an interrupt before its
// thread sleeps. Instead of the module's parameter, for this VM.
absl::Status SetHaltPoll(const Vm& vm, absl::Duration longest);

// KVM_CAP_VM_DISABLE_NX_HUGE_PAGES: drops the mitigation of the iTLB multihit
// bug for this VM, whose guest is trusted. Before vCPUs; kPermissionDenied
// without CAP_SYS_BOOT.
absl::Status DisableNxHugePages(const Vm& vm);

// KVM_CAP_SGX_ATTRIBUTE: lets the guest's SGX enclaves use the privileged
// attribute whose file (/dev/sgx_provision) `attribute_fd` is open; lent for
// the call.
absl::Status AllowSgxAttribute(const Vm& vm, int attribute_fd);

}  // namespace libvmm

#endif  // LIBVMM_KVM_VM_CAPABILITIES_H_
