// SPDX-License-Identifier: Apache-2.0
#include "libvmm/kvm/xen.h"

#include "absl/strings/str_cat.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/capability.h"
#include "libvmm/kvm/ioctl.h"

namespace libvmm {
namespace {

absl::Status RequireXen(const Vm& vm, int feature, const char* feature_name) {
  LIBVMM_ASSIGN_OR_RETURN(
      const int features,
      RequireCapability(vm.fd(), LIBVMM_CAPABILITY(KVM_CAP_XEN_HVM)));
  if ((features & feature) == feature) return absl::OkStatus();
  return absl::UnimplementedError(
      absl::StrCat("this KVM lacks ", feature_name, " in KVM_CAP_XEN_HVM"));
}

}  // namespace

absl::Status ConfigureXen(const Vm& vm, const kvm_xen_hvm_config& config) {
  LIBVMM_RETURN_IF_ERROR(RequireXen(vm, KVM_XEN_HVM_CONFIG_HYPERCALL_MSR,
                                    "KVM_XEN_HVM_CONFIG_HYPERCALL_MSR"));
  return CallIoctl(vm.fd(), LIBVMM_IOCTL(KVM_XEN_HVM_CONFIG), &config,
                   absl::StrCat("flags 0x", absl::Hex(config.flags), ", msr 0x",
                                absl::Hex(config.msr)))
      .status();
}

absl::Status SetXenAttribute(const Vm& vm, const kvm_xen_hvm_attr& attribute) {
  LIBVMM_RETURN_IF_ERROR(RequireXen(vm, KVM_XEN_HVM_CONFIG_SHARED_INFO,
                                    "KVM_XEN_HVM_CONFIG_SHARED_INFO"));
  return CallIoctl(vm.fd(), LIBVMM_IOCTL(KVM_XEN_HVM_SET_ATTR), &attribute,
                   absl::StrCat("type ", attribute.type))
      .status();
}

absl::StatusOr<kvm_xen_hvm_attr> GetXenAttribute(const Vm& vm, uint16_t type) {
  LIBVMM_RETURN_IF_ERROR(RequireXen(vm, KVM_XEN_HVM_CONFIG_SHARED_INFO,
                                    "KVM_XEN_HVM_CONFIG_SHARED_INFO"));
  kvm_xen_hvm_attr attribute = {};
  attribute.type = type;
  LIBVMM_RETURN_IF_ERROR(CallIoctl(vm.fd(), LIBVMM_IOCTL(KVM_XEN_HVM_GET_ATTR),
                                   &attribute, absl::StrCat("type ", type))
                             .status());
  return attribute;
}

absl::StatusOr<bool> SendXenEvent(const Vm& vm,
                                  const XenEventChannel& channel) {
  LIBVMM_RETURN_IF_ERROR(RequireXen(vm, KVM_XEN_HVM_CONFIG_EVTCHN_SEND,
                                    "KVM_XEN_HVM_CONFIG_EVTCHN_SEND"));
  const kvm_irq_routing_xen_evtchn argument = {
      .port = channel.port,
      .vcpu = channel.vcpu_id,
      .priority = KVM_IRQ_ROUTING_XEN_EVTCHN_PRIO_2LEVEL};
  LIBVMM_ASSIGN_OR_RETURN(
      const int delivered,
      CallIoctl(
          vm.fd(), LIBVMM_IOCTL(KVM_XEN_HVM_EVTCHN_SEND), &argument,
          absl::StrCat("port ", channel.port, ", vCPU ", channel.vcpu_id)));
  return delivered > 0;
}

}  // namespace libvmm
