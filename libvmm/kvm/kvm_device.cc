// SPDX-License-Identifier: Apache-2.0
#include "libvmm/kvm/kvm_device.h"

#include <sys/ioctl.h>

#include "absl/strings/str_cat.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/ioctl.h"

namespace libvmm {

absl::StatusOr<KvmDevice> KvmDevice::Create(const Vm& vm, uint32_t type) {
  // Not asked for KVM_CAP_DEVICE_CTRL: on x86 kernels before 6.4 have the call
  // and deny the capability. Without the call it is ENOTTY.
  kvm_create_device device = {.type = type, .fd = 0, .flags = 0};
  LIBVMM_RETURN_IF_ERROR(CallIoctl(vm.fd(), LIBVMM_IOCTL(KVM_CREATE_DEVICE),
                                   &device, absl::StrCat("type ", type))
                             .status());
  return KvmDevice(UniqueFd(static_cast<int>(device.fd)));
}

bool KvmDevice::IsSupported(const Vm& vm, uint32_t type) {
  kvm_create_device device = {
      .type = type, .fd = 0, .flags = KVM_CREATE_DEVICE_TEST};
  return ::ioctl(vm.fd(), KVM_CREATE_DEVICE, &device) == 0;
}

}  // namespace libvmm
