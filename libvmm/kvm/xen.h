// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_KVM_XEN_H_
#define LIBVMM_KVM_XEN_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "libvmm/kvm/vm.h"

struct kvm_xen_hvm_attr;
struct kvm_xen_hvm_config;

namespace libvmm {

// KVM's support for guests that expect Xen (KVM_CAP_XEN_HVM, whose value is a
// mask of KVM_XEN_HVM_CONFIG_ bits): hypercalls, the shared info page, event
// channels. The per-vCPU half is beside the other vCPU state.
//
// Thread-safety: thread-safe.
// Ownership: none; the settings live with the VM.
// Errors: kUnimplemented names KVM_CAP_XEN_HVM and the bit that is absent; others
//     as each call says.
// Cost: two system calls each.

// KVM_XEN_HVM_CONFIG: the MSR by which the guest asks for its hypercall page,
// and whether hypercalls exit as KVM_EXIT_XEN
// (KVM_XEN_HVM_CONFIG_INTERCEPT_HCALL). kInvalidArgument for flags that the
// capability does not offer, or, on newer kernels, for an MSR outside the
// hypervisor range 0x40000000 to 0x4fffffff.
absl::Status ConfigureXen(const Vm& vm, const kvm_xen_hvm_config& config);

// KVM_XEN_HVM_SET_ATTR: sets the attribute named by `attribute.type`, a
// KVM_XEN_ATTR_TYPE_ number.
absl::Status SetXenAttribute(const Vm& vm, const kvm_xen_hvm_attr& attribute);

// KVM_XEN_HVM_GET_ATTR: the attribute of that type.
absl::StatusOr<kvm_xen_hvm_attr> GetXenAttribute(const Vm& vm, uint16_t type);

// A Xen event channel of the guest; the delivery is 2-level.
struct XenEventChannel {
  uint32_t port = 0;
  uint32_t vcpu_id = 0;
};

// KVM_XEN_HVM_EVTCHN_SEND: raises the event channel. False when it is masked or
// pending already, and nothing was delivered.
absl::StatusOr<bool> SendXenEvent(const Vm& vm, const XenEventChannel& channel);

}  // namespace libvmm

#endif  // LIBVMM_KVM_XEN_H_
