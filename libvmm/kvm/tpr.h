// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_KVM_TPR_H_
#define LIBVMM_KVM_TPR_H_

#include "absl/status/status.h"
#include "libvmm/base/address.h"
#include "libvmm/kvm/vcpu.h"

namespace libvmm {

// Help for old guests that write the task-priority register of the local APIC
// at every turn, on processors that cannot virtualize it: the host learns where
// the accesses are, patches them to use a page of guest memory, and KVM keeps
// that page and the TPR in step. Needs an in-kernel local APIC (KVM_CAP_VAPIC).
//
// Thread-safety: as Vcpu, not while it runs.
// Cost: one vCPU ioctl each.

// KVM_TPR_ACCESS_REPORTING: whether a TPR access exits with reason kTprAccess.
absl::Status SetTprAccessReporting(Vcpu& vcpu, bool enabled);

// KVM_SET_VAPIC_ADDR: where in guest memory the vCPU's copy of the TPR lies;
// zero ends the mirroring. kFailedPrecondition without an in-kernel local APIC.
absl::Status SetVapicAddress(Vcpu& vcpu, Gpa gpa);

}  // namespace libvmm

#endif  // LIBVMM_KVM_TPR_H_
