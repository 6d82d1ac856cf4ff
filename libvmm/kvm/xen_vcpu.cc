// SPDX-License-Identifier: Apache-2.0
#include "libvmm/kvm/xen_vcpu.h"

#include "absl/strings/str_cat.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/vcpu_ioctl.h"

namespace libvmm {
namespace {

absl::Status RequireXen(const Vm& vm) {
  return RequireCapability(vm.fd(), LIBVMM_CAPABILITY(KVM_CAP_XEN_HVM))
      .status();
}

}  // namespace

absl::StatusOr<kvm_xen_vcpu_attr> GetXenVcpuAttribute(const Vm& vm, Vcpu& vcpu,
                                                      uint16_t type) {
  LIBVMM_RETURN_IF_ERROR(RequireXen(vm));
  kvm_xen_vcpu_attr attribute = {};
  attribute.type = type;
  LIBVMM_RETURN_IF_ERROR(
      internal::ReadVcpu(vcpu, LIBVMM_IOCTL(KVM_XEN_VCPU_GET_ATTR), &attribute,
                         absl::StrCat("type ", type))
          .status());
  return attribute;
}

absl::Status SetXenVcpuAttribute(const Vm& vm, Vcpu& vcpu,
                                 const kvm_xen_vcpu_attr& attribute) {
  LIBVMM_RETURN_IF_ERROR(RequireXen(vm));
  return internal::WriteVcpu(vcpu, LIBVMM_IOCTL(KVM_XEN_VCPU_SET_ATTR),
                             &attribute, absl::StrCat("type ", attribute.type))
      .status();
}

}  // namespace libvmm
