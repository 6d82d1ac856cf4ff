// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_KVM_TRANSLATE_H_
#define LIBVMM_KVM_TRANSLATE_H_

#include <optional>

#include "absl/status/statusor.h"
#include "libvmm/base/address.h"
#include "libvmm/kvm/vcpu.h"

namespace libvmm {

// KVM_TRANSLATE: the guest-physical address that a guest-virtual one has right
// now, by the vCPU's paging mode and page tables; nothing when it is not
// mapped. KVM does not report whether it may be written or used by user mode.
//
// Thread-safety: as Vcpu, not while it runs.
// Errors: ErrnoStatus of the ioctl; an unmapped address is not an error.
// Cost: one vCPU ioctl, and one more for each register set changed before.
absl::StatusOr<std::optional<Gpa>> Translate(Vcpu& vcpu, Gva gva);

}  // namespace libvmm

#endif  // LIBVMM_KVM_TRANSLATE_H_
