// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_KVM_VM_CLOCK_H_
#define LIBVMM_KVM_VM_CLOCK_H_

#include <cstdint>
#include <optional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "libvmm/kvm/vm.h"

namespace libvmm {

// The VM's paravirtual clock, kvmclock: nanoseconds since the VM was made, as
// the guest computes them from its TSC (Linux
// Documentation/virt/kvm/x86/msr.rst).
struct VmClockReading {
  // Nanoseconds, at the moment of the call.
  uint64_t nanoseconds = 0;
  // True when all vCPUs compute the clock from one stable TSC.
  bool tsc_stable = false;
  // Host CLOCK_REALTIME in nanoseconds and host TSC at that same moment, where
  // the kernel can tell them together.
  std::optional<uint64_t> host_realtime = std::nullopt;
  std::optional<uint64_t> host_tsc = std::nullopt;
};

// KVM_GET_CLOCK, with the vCPUs stopped for an exact pair with their state.
// kUnimplemented without KVM_CAP_ADJUST_CLOCK.
//
// Thread-safety: thread-safe.
// Cost: two system calls.
absl::StatusOr<VmClockReading> GetVmClock(const Vm& vm);

struct VmClockSetting {
  uint64_t nanoseconds = 0;
  // Host CLOCK_REALTIME that belonged to `nanoseconds`: the kernel adds the
  // time that has passed since, so the guest's clock also counts the time of a
  // migration. Without it the clock goes on from `nanoseconds`.
  std::optional<uint64_t> host_realtime = std::nullopt;
};

// KVM_SET_CLOCK. Vcpus then call KVM_KVMCLOCK_CTRL so that the guest's watchdog
// knows of the pause. kUnimplemented without KVM_CAP_ADJUST_CLOCK, or when
// `host_realtime` is given and the capability's value has no
// KVM_CLOCK_REALTIME.
//
// Thread-safety: thread-safe.
// Cost: two system calls; the kernel makes every vCPU take its clock anew.
absl::Status SetVmClock(const Vm& vm, const VmClockSetting& setting);

}  // namespace libvmm

#endif  // LIBVMM_KVM_VM_CLOCK_H_
