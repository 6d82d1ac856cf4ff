// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_KVM_XEN_VCPU_H_
#define LIBVMM_KVM_XEN_VCPU_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "libvmm/kvm/vcpu.h"
#include "libvmm/kvm/vm.h"

struct kvm_xen_vcpu_attr;

namespace libvmm {

// One vCPU's part of the Xen interface that KVM can give a guest: where its
// vcpu_info, time and run-state areas lie, its Xen id, timer and upcall vector.
// The struct's `type` (KVM_XEN_VCPU_ATTR_TYPE_) chooses, its union holds the
// value.
//
// Thread-safety: as Vcpu, not while it runs.
// Errors: kUnimplemented names KVM_CAP_XEN_HVM when the VM has no Xen emulation
//     to offer; kNotFound (ENOENT) for a type that the kernel does not know;
//     kInvalidArgument for a value that it refuses, or when the VM has not been
//     configured for Xen.
// Cost: one VM and one vCPU ioctl.

// KVM_XEN_VCPU_GET_ATTR: the attribute of type `type`. `vm` is the vCPU's.
absl::StatusOr<kvm_xen_vcpu_attr> GetXenVcpuAttribute(const Vm& vm, Vcpu& vcpu,
                                                      uint16_t type);

// KVM_XEN_VCPU_SET_ATTR.
absl::Status SetXenVcpuAttribute(const Vm& vm, Vcpu& vcpu,
                                 const kvm_xen_vcpu_attr& attribute);

}  // namespace libvmm

#endif  // LIBVMM_KVM_XEN_VCPU_H_
