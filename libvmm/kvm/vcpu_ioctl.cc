// SPDX-License-Identifier: Apache-2.0
#include "libvmm/kvm/vcpu_ioctl.h"

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "libvmm/base/errno_status.h"
#include "libvmm/base/status_macros.h"

namespace libvmm::internal {

absl::StatusOr<int> ReadVcpu(Vcpu& vcpu, IoctlRequest request,
                             const void* argument, absl::string_view detail) {
  LIBVMM_RETURN_IF_ERROR(vcpu.FlushRegisters());
  return CallIoctl(vcpu.fd(), request, argument, detail);
}

absl::StatusOr<int> WriteVcpu(Vcpu& vcpu, IoctlRequest request,
                              const void* argument, absl::string_view detail) {
  LIBVMM_RETURN_IF_ERROR(vcpu.FlushRegisters());
  absl::StatusOr<int> result = CallIoctl(vcpu.fd(), request, argument, detail);
  vcpu.DropRegisters();
  return result;
}

absl::Status WithoutCapability(absl::Status status, Capability capability) {
  if (!IsErrno(status, EINVAL) && !IsErrno(status, ENOTTY) &&
      !IsErrno(status, EOPNOTSUPP)) {
    return status;
  }
  return absl::UnimplementedError(
      absl::StrCat("this KVM lacks ", capability.name, ": ", status.message()));
}

}  // namespace libvmm::internal
