// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_KVM_VCPU_IOCTL_H_
#define LIBVMM_KVM_VCPU_IOCTL_H_

// Internal: vCPU ioctls beside the register cache of a Vcpu. A call that looks
// at registers must see the changes that the Vcpu still holds back, and a call
// that changes them must leave no stale copy there. The calls that do neither
// (CPUID, signal mask, TSC frequency) go straight through CallIoctl.

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "libvmm/kvm/capability.h"
#include "libvmm/kvm/ioctl.h"
#include "libvmm/kvm/vcpu.h"

namespace libvmm::internal {

// Flushes changed registers, then calls: one system call, and one more for each
// register set that was changed since the last exit.
absl::StatusOr<int> ReadVcpu(Vcpu& vcpu, IoctlRequest request,
                             const void* argument,
                             absl::string_view detail = {});

// The same, and forgets the cached registers whatever the outcome.
absl::StatusOr<int> WriteVcpu(Vcpu& vcpu, IoctlRequest request,
                              const void* argument,
                              absl::string_view detail = {});

// For a request whose arguments cannot be wrong: EINVAL, ENOTTY and EOPNOTSUPP
// then mean a kernel without it. Turns them into kUnimplemented with the
// capability's name and passes every other status through.
absl::Status WithoutCapability(absl::Status status, Capability capability);

}  // namespace libvmm::internal

#endif  // LIBVMM_KVM_VCPU_IOCTL_H_
