// SPDX-License-Identifier: Apache-2.0
#include "libvmm/kvm/tpr.h"

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "libvmm/base/errno_status.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/vcpu_ioctl.h"

namespace libvmm {

absl::Status SetTprAccessReporting(Vcpu& vcpu, bool enabled) {
  kvm_tpr_access_ctl control = {};
  control.enabled = enabled ? 1 : 0;
  return internal::WithoutCapability(
      CallIoctl(vcpu.fd(), LIBVMM_IOCTL(KVM_TPR_ACCESS_REPORTING), &control)
          .status(),
      LIBVMM_CAPABILITY(KVM_CAP_VAPIC));
}

absl::Status SetVapicAddress(Vcpu& vcpu, Gpa gpa) {
  const kvm_vapic_addr address = {.vapic_addr = gpa.value()};
  const absl::Status status =
      CallIoctl(vcpu.fd(), LIBVMM_IOCTL(KVM_SET_VAPIC_ADDR), &address,
                absl::StrCat("gpa 0x", absl::Hex(gpa.value())))
          .status();
  if (!IsErrno(status, EINVAL)) return status;
  // Also the answer to an address outside every memory slot.
  return absl::FailedPreconditionError(absl::StrCat(
      "no in-kernel local APIC, or no memory there: ", status.message()));
}

}  // namespace libvmm
