// SPDX-License-Identifier: Apache-2.0
#include "libvmm/kvm/xsave.h"

#include <cpuid.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libvmm/base/errno_status.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/capability.h"
#include "libvmm/kvm/device_attribute.h"
#include "libvmm/kvm/ioctl.h"

namespace libvmm {
namespace {

// Bytes of a standard-format image with every feature that the processor has,
// switched on or not (Intel SDM volume 2, CPUID leaf 0DH sub-leaf 0, ECX).
size_t LargestImage() {
  unsigned eax = 0;
  unsigned ebx = 0;
  unsigned ecx = 0;
  unsigned edx = 0;
  return __get_cpuid_count(0x0d, 0, &eax, &ebx, &ecx, &edx) != 0 ? ecx : 0;
}

}  // namespace

XsaveState::XsaveState(internal::FlexBlock<kvm_xsave> image, size_t room,
                       size_t size, bool has_xsave2)
    : image_(std::move(image)),
      room_(room),
      size_(size),
      has_xsave2_(has_xsave2) {}

absl::StatusOr<XsaveState> XsaveState::Create(const Vm& vm) {
  LIBVMM_RETURN_IF_ERROR(
      RequireCapability(vm.fd(), LIBVMM_CAPABILITY(KVM_CAP_XSAVE)).status());
  const int xsave2 = vm.CheckExtension(KVM_CAP_XSAVE2);
  const size_t size = std::max(sizeof(kvm_xsave), static_cast<size_t>(xsave2));
  // The kernel copies as much as the vCPU has, in both directions, without
  // asking how much there is room for.
  const size_t room = std::max(size, LargestImage());
  return XsaveState(internal::AllocateFlexBlock<kvm_xsave>(room), room, size,
                    xsave2 != 0);
}

XsaveState XsaveState::Copy() const {
  XsaveState copy(internal::AllocateFlexBlock<kvm_xsave>(room_), room_, size_,
                  has_xsave2_);
  std::memcpy(copy.image_.get(), image_.get(), room_);
  return copy;
}

absl::Status XsaveState::ReadFrom(Vcpu& vcpu) {
  const IoctlRequest request =
      has_xsave2_ ? LIBVMM_IOCTL(KVM_GET_XSAVE2) : LIBVMM_IOCTL(KVM_GET_XSAVE);
  // The register sets that a Vcpu caches have nothing of this: they stay.
  const absl::Status status =
      CallIoctl(vcpu.fd(), request, image_.get()).status();
  if (IsErrno(status, EINVAL)) {
    return absl::FailedPreconditionError(
        absl::StrCat("the vCPU's state is larger than ", size_,
                     " bytes: ", status.message()));
  }
  return status;
}

absl::Status XsaveState::WriteTo(Vcpu& vcpu) const {
  return CallIoctl(vcpu.fd(), LIBVMM_IOCTL(KVM_SET_XSAVE), image_.get())
      .status();
}

std::span<std::byte> XsaveState::bytes() {
  return {reinterpret_cast<std::byte*>(image_.get()), size_};
}

std::span<const std::byte> XsaveState::bytes() const {
  return {reinterpret_cast<const std::byte*>(image_.get()), size_};
}

absl::StatusOr<uint64_t> PermittedXsaveFeatures(int kvm_fd) {
  LIBVMM_RETURN_IF_ERROR(
      RequireCapability(kvm_fd, LIBVMM_CAPABILITY(KVM_CAP_SYS_ATTRIBUTES))
          .status());
  return GetDeviceAttributeValue<uint64_t>(
      kvm_fd, {.group = 0, .attribute = KVM_X86_XCOMP_GUEST_SUPP});
}

}  // namespace libvmm
