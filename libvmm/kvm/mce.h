// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_KVM_MCE_H_
#define LIBVMM_KVM_MCE_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "libvmm/kvm/vcpu.h"

struct kvm_x86_mce;

namespace libvmm {

// The machine-check architecture of a vCPU (Intel SDM volume 3, chapter 15):
// how many error banks it shows, and errors that the host makes the guest see.
//
// Thread-safety: as Vcpu, not while it runs; the query is thread-safe.
// Cost: one ioctl each.

// KVM_X86_GET_MCE_CAP_SUPPORTED on a /dev/kvm descriptor: the feature bits that
// may be given to SetupMce. The bank count, bits 7:0, is KVM_CAP_MCE's value at
// most. kUnimplemented names KVM_CAP_MCE.
absl::StatusOr<uint64_t> SupportedMceCapability(int kvm_fd);

// KVM_X86_SETUP_MCE: sets IA32_MCG_CAP, the bank count in bits 7:0 and feature
// bits above, and switches all banks on. Before the guest runs.
// kInvalidArgument for zero or too many banks, or a feature that is not
// supported.
absl::Status SetupMce(Vcpu& vcpu, uint64_t mcg_cap);

// KVM_X86_SET_MCE: records an error in a bank; an uncorrected one (UC in
// `status`) raises #MC at the next Run, and is a triple fault to a guest that
// is not ready for it. kInvalidArgument for a bank that does not exist or a
// status without VAL.
absl::Status InjectMce(Vcpu& vcpu, const kvm_x86_mce& mce);

}  // namespace libvmm

#endif  // LIBVMM_KVM_MCE_H_
