// SPDX-License-Identifier: Apache-2.0
#include "libvmm/kvm/translate.h"

#include "libvmm/base/status_macros.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/vcpu_ioctl.h"

namespace libvmm {

absl::StatusOr<std::optional<Gpa>> Translate(Vcpu& vcpu, Gva gva) {
  kvm_translation translation = {};
  translation.linear_address = gva.value();
  LIBVMM_RETURN_IF_ERROR(
      internal::ReadVcpu(vcpu, LIBVMM_IOCTL(KVM_TRANSLATE), &translation)
          .status());
  if (translation.valid == 0) return std::nullopt;
  return Gpa(translation.physical_address);
}

}  // namespace libvmm
