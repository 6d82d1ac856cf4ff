// SPDX-License-Identifier: Apache-2.0
#include "libvmm/kvm/vcpu_clock.h"

#include <sys/ioctl.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "libvmm/base/errno_status.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/capability.h"
#include "libvmm/kvm/device_attribute.h"
#include "libvmm/kvm/vcpu_ioctl.h"

namespace libvmm {
namespace {

constexpr DeviceAttribute kTscOffset = {.group = KVM_VCPU_TSC_CTRL,
                                        .attribute = KVM_VCPU_TSC_OFFSET};

absl::Status RequireTscOffset(const Vcpu& vcpu) {
  if (HasDeviceAttribute(vcpu.fd(), kTscOffset)) return absl::OkStatus();
  return absl::UnimplementedError(
      "this KVM lacks KVM_CAP_VCPU_ATTRIBUTES with KVM_VCPU_TSC_OFFSET");
}

}  // namespace

absl::StatusOr<uint32_t> GetTscKhz(const Vcpu& vcpu) {
  LIBVMM_ASSIGN_OR_RETURN(
      const int khz, CallIoctl(vcpu.fd(), LIBVMM_IOCTL(KVM_GET_TSC_KHZ), 0));
  return static_cast<uint32_t>(khz);
}

absl::Status SetTscKhz(Vcpu& vcpu, uint32_t khz) {
  return CallIoctl(vcpu.fd(), LIBVMM_IOCTL(KVM_SET_TSC_KHZ), khz,
                   absl::StrCat(khz,
                                " kHz, which needs KVM_CAP_TSC_CONTROL "
                                "when it is below the host's rate"))
      .status();
}

absl::StatusOr<uint64_t> GetTscOffset(const Vcpu& vcpu) {
  LIBVMM_RETURN_IF_ERROR(RequireTscOffset(vcpu));
  return GetDeviceAttributeValue<uint64_t>(vcpu.fd(), kTscOffset);
}

absl::Status SetTscOffset(Vcpu& vcpu, uint64_t offset) {
  LIBVMM_RETURN_IF_ERROR(RequireTscOffset(vcpu));
  return SetDeviceAttributeValue(vcpu.fd(), kTscOffset, offset);
}

absl::StatusOr<bool> KeepsTscOffset(Vcpu& vcpu) {
  LIBVMM_ASSIGN_OR_RETURN(const uint64_t offset, GetTscOffset(vcpu));
  LIBVMM_RETURN_IF_ERROR(SetTscOffset(vcpu, offset - 1));
  LIBVMM_ASSIGN_OR_RETURN(const uint64_t read, GetTscOffset(vcpu));
  LIBVMM_RETURN_IF_ERROR(SetTscOffset(vcpu, offset));
  return read != offset;
}

absl::StatusOr<bool> NotifyGuestPaused(const Vcpu& vcpu) {
  if (::ioctl(vcpu.fd(), KVM_KVMCLOCK_CTRL, 0) >= 0) return true;
  const int error = errno;
  // The guest decides whether kvmclock is on: its choice is no error.
  if (error == EINVAL) return false;
  return ErrnoStatus(error, "ioctl(KVM_KVMCLOCK_CTRL)");
}

}  // namespace libvmm
