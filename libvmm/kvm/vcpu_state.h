// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_KVM_VCPU_STATE_H_
#define LIBVMM_KVM_VCPU_STATE_H_

#include <concepts>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "libvmm/kvm/vcpu.h"

struct kvm_debugregs;
struct kvm_fpu;
struct kvm_lapic_state;
struct kvm_mp_state;
struct kvm_regs;
struct kvm_sregs;
struct kvm_sregs2;
struct kvm_vcpu_events;
struct kvm_xcrs;

namespace libvmm {

// A type of the table below.
template <typename T>
concept VcpuState = std::same_as<T, kvm_regs> || std::same_as<T, kvm_sregs> ||
    std::same_as<T, kvm_sregs2> || std::same_as<T, kvm_fpu> ||
    std::same_as<T, kvm_xcrs> || std::same_as<T, kvm_debugregs> ||
    std::same_as<T, kvm_lapic_state> || std::same_as<T, kvm_mp_state> ||
    std::same_as<T, kvm_vcpu_events>;

// The state of a stopped vCPU, one kernel struct at a time; the type chooses
// the ioctl pair. This is the way to save and restore a vCPU. A loop that looks
// at registers at every exit uses the accessors of Vcpu, which cost less.
//
//   kvm_regs         KVM_GET_REGS and KVM_SET_REGS. Setting drops a pending
//                    exception: set kvm_vcpu_events afterwards.
//   kvm_sregs        ..._SREGS. Carries the APIC base, hence the layout of the
//                    local APIC, and can make the bootstrap processor runnable.
//                    At most one bit of interrupt_bitmap may be set.
//   kvm_sregs2       ..._SREGS2. The same with PAE page-directory pointers and
//                    without pending interrupts, which are in kvm_vcpu_events.
//                    KVM_CAP_SREGS2.
//   kvm_fpu          ..._FPU. x87 and SSE; wider vector state is lost, see
//                    xsave.h.
//   kvm_xcrs         ..._XCRS. XCR0; needs XSAVE in the vCPU's CPUID.
//                    KVM_CAP_XCRS.
//   kvm_debugregs    ..._DEBUGREGS. `flags` must be zero. KVM_CAP_DEBUGREGS.
//   kvm_lapic_state  ..._LAPIC. The register page of the in-kernel local APIC;
//                    set it after the APIC base and before the TSC-deadline
//                    MSR.
//   kvm_mp_state     ..._MP_STATE. Without an in-kernel local APIC only
//                    RUNNABLE. Reading may consume a pending INIT or SIPI, so
//                    save it first. KVM_CAP_MP_STATE.
//   kvm_vcpu_events  ..._VCPU_EVENTS. `flags` chooses what is written. Reading
//                    may deliver a payload to CR2 or DR6: save it before those.
//                    KVM_CAP_VCPU_EVENTS.
//
// kvm_xsave is not here: its true size is the VM's, not the struct's (xsave.h).
//
// Before the calls, changes that the Vcpu holds back are written; after a set
// its cached registers are forgotten, so that both views always agree. kvm_fpu,
// kvm_xcrs and kvm_debugregs have nothing in common with them and leave them.
//
// Thread-safety: as Vcpu, one thread at a time and not while it runs.
// Errors: kUnimplemented names the capability that this KVM lacks;
//     kFailedPrecondition when kvm_lapic_state finds no in-kernel local APIC;
//     kInvalidArgument for values that the kernel refuses.
// Cost: one vCPU ioctl, which can cost as much as an exit.
template <VcpuState T>
absl::StatusOr<T> GetVcpuState(Vcpu& vcpu);

// As above. On an error the vCPU keeps its old state, except that SREGS may
// have been written in part.
template <VcpuState T>
absl::Status SetVcpuState(Vcpu& vcpu, const T& state);

}  // namespace libvmm

#endif  // LIBVMM_KVM_VCPU_STATE_H_
