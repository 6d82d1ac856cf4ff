// SPDX-License-Identifier: Apache-2.0
#include "libvmm/kvm/mce.h"

#include "absl/strings/str_cat.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/vcpu_ioctl.h"

namespace libvmm {

absl::StatusOr<uint64_t> SupportedMceCapability(int kvm_fd) {
  uint64_t mcg_cap = 0;
  const absl::Status status =
      CallIoctl(kvm_fd, LIBVMM_IOCTL(KVM_X86_GET_MCE_CAP_SUPPORTED), &mcg_cap)
          .status();
  if (!status.ok()) {
    return internal::WithoutCapability(status, LIBVMM_CAPABILITY(KVM_CAP_MCE));
  }
  return mcg_cap;
}

absl::Status SetupMce(Vcpu& vcpu, uint64_t mcg_cap) {
  return internal::WriteVcpu(vcpu, LIBVMM_IOCTL(KVM_X86_SETUP_MCE), &mcg_cap,
                             absl::StrCat("MCG_CAP 0x", absl::Hex(mcg_cap)))
      .status();
}

absl::Status InjectMce(Vcpu& vcpu, const kvm_x86_mce& mce) {
  return internal::WriteVcpu(
             vcpu, LIBVMM_IOCTL(KVM_X86_SET_MCE), &mce,
             absl::StrCat("bank ", static_cast<unsigned>(mce.bank),
                          ", status 0x", absl::Hex(mce.status)))
      .status();
}

}  // namespace libvmm
