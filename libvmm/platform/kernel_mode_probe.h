// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_PLATFORM_KERNEL_MODE_PROBE_H_
#define LIBVMM_PLATFORM_KERNEL_MODE_PROBE_H_

#include "absl/status/statusor.h"
#include "libvmm/kvm/kvm.h"

namespace libvmm {

// Whether this KVM runs what a guest's kernel executes. Some KVMs, those that
// work inside a virtual machine without nested virtualization, emulate a
// guest's kernel mode instruction by instruction, and not every instruction: an
// operating system will not boot there, though small guests do.
//
// False when a vector instruction at CPL 0 ends in KVM_EXIT_INTERNAL_ERROR. The
// features that KVM reports do not tell.
//
// Errors: those of making and running a VM.
// Cost: a VM with one vCPU and 64 KiB, for a moment.
absl::StatusOr<bool> RunsKernelMode(const Kvm& kvm);

}  // namespace libvmm

#endif  // LIBVMM_PLATFORM_KERNEL_MODE_PROBE_H_
