// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_KVM_PRE_FAULT_H_
#define LIBVMM_KVM_PRE_FAULT_H_

#include "absl/status/statusor.h"
#include "libvmm/base/address.h"
#include "libvmm/kvm/vcpu.h"

namespace libvmm {

// KVM_PRE_FAULT_MEMORY: populates the second-stage page tables for a range of
// guest memory as a read by this vCPU would, so that the guest does not pay for
// it later. Returns what is left of the range: empty when all of it is done,
// otherwise a signal came in between and the call may be repeated with the
// rest.
//
// Thread-safety: as Vcpu, not while it runs.
// Errors: kUnimplemented names KVM_CAP_PRE_FAULT_MEMORY, which needs
//     two-dimensional paging; kInvalidArgument for a range that is empty or not
//     made of whole pages; kNotFound (ENOENT) for memory outside every slot;
//     kUnavailable (EAGAIN, EINTR) when nothing was done and a repeat can
//     succeed.
// Cost: one vCPU ioctl and a page fault per page or huge page.
absl::StatusOr<GpaRange> PreFaultMemory(Vcpu& vcpu, GpaRange range);

}  // namespace libvmm

#endif  // LIBVMM_KVM_PRE_FAULT_H_
