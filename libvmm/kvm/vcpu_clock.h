// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_KVM_VCPU_CLOCK_H_
#define LIBVMM_KVM_VCPU_CLOCK_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "libvmm/kvm/vcpu.h"

namespace libvmm {

// What one vCPU sees of time: the rate of its time-stamp counter, the counter's
// distance from the host's, and the note to kvmclock that it stood still.
//
// Thread-safety: as Vcpu, not while it runs.
// Cost: one vCPU ioctl each.

// KVM_GET_TSC_KHZ: ticks of the vCPU's TSC per millisecond. kInternal (EIO)
// where the host's TSC is not stable.
absl::StatusOr<uint32_t> GetTscKhz(const Vcpu& vcpu);

// KVM_SET_TSC_KHZ; zero means the host's rate. A rate above the host's works
// everywhere, one below only with KVM_CAP_TSC_CONTROL: else kInvalidArgument,
// as for a rate that the hardware cannot scale to. Belongs before the guest
// runs.
absl::Status SetTscKhz(Vcpu& vcpu, uint32_t khz);

// The guest's TSC is the host's plus this offset, modulo 2^64
// (KVM_VCPU_TSC_OFFSET, an attribute of the vCPU). Unlike the TSC MSR it does
// not move between reading and writing: the way to keep time across save and
// restore. kUnimplemented names KVM_CAP_VCPU_ATTRIBUTES.
absl::StatusOr<uint64_t> GetTscOffset(const Vcpu& vcpu);
absl::Status SetTscOffset(Vcpu& vcpu, uint64_t offset);

// False on a KVM that accepts any offset and keeps none: there neither host nor
// guest moves the TSC. Sets another offset for a moment, which unties the vCPU
// from the others of its VM for kvmclock. Costs some ioctls: ask once.
absl::StatusOr<bool> KeepsTscOffset(Vcpu& vcpu);

// KVM_KVMCLOCK_CTRL: tells the guest's watchdog, at its next look, that it was
// paused and did not hang. False when the guest has not switched kvmclock on,
// and so cannot be told.
absl::StatusOr<bool> NotifyGuestPaused(const Vcpu& vcpu);

}  // namespace libvmm

#endif  // LIBVMM_KVM_VCPU_CLOCK_H_
