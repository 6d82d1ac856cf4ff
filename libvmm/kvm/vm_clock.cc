// SPDX-License-Identifier: Apache-2.0
#include "libvmm/kvm/vm_clock.h"

#include "libvmm/base/status_macros.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/capability.h"
#include "libvmm/kvm/ioctl.h"

namespace libvmm {

absl::StatusOr<VmClockReading> GetVmClock(const Vm& vm) {
  LIBVMM_RETURN_IF_ERROR(
      RequireCapability(vm.fd(), LIBVMM_CAPABILITY(KVM_CAP_ADJUST_CLOCK))
          .status());
  kvm_clock_data data = {};
  LIBVMM_RETURN_IF_ERROR(
      CallIoctl(vm.fd(), LIBVMM_IOCTL(KVM_GET_CLOCK), &data).status());
  VmClockReading reading;
  reading.nanoseconds = data.clock;
  reading.tsc_stable = (data.flags & KVM_CLOCK_TSC_STABLE) != 0;
  if ((data.flags & KVM_CLOCK_REALTIME) != 0) {
    reading.host_realtime = data.realtime;
  }
  if ((data.flags & KVM_CLOCK_HOST_TSC) != 0) reading.host_tsc = data.host_tsc;
  return reading;
}

absl::Status SetVmClock(const Vm& vm, const VmClockSetting& setting) {
  LIBVMM_ASSIGN_OR_RETURN(
      const int flags,
      RequireCapability(vm.fd(), LIBVMM_CAPABILITY(KVM_CAP_ADJUST_CLOCK)));
  kvm_clock_data data = {};
  data.clock = setting.nanoseconds;
  if (setting.host_realtime.has_value()) {
    if ((flags & KVM_CLOCK_REALTIME) == 0) {
      return absl::UnimplementedError(
          "this KVM lacks KVM_CLOCK_REALTIME in KVM_CAP_ADJUST_CLOCK");
    }
    data.flags = KVM_CLOCK_REALTIME;
    data.realtime = *setting.host_realtime;
  }
  return CallIoctl(vm.fd(), LIBVMM_IOCTL(KVM_SET_CLOCK), &data).status();
}

}  // namespace libvmm
