// SPDX-License-Identifier: Apache-2.0
#include "libvmm/kvm/device_attribute.h"

#include <sys/ioctl.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/ioctl.h"

namespace libvmm {
namespace {

kvm_device_attr Argument(DeviceAttribute attribute, const void* value) {
  return {.flags = 0,
          .group = attribute.group,
          .attr = attribute.attribute,
          .addr = reinterpret_cast<uintptr_t>(value)};
}

std::string Detail(DeviceAttribute attribute) {
  return absl::StrCat("group ", attribute.group, ", attribute ",
                      attribute.attribute);
}

}  // namespace

bool HasDeviceAttribute(int fd, DeviceAttribute attribute) {
  // Absence is the expected answer: no Status is built for it.
  constexpr IoctlRequest kHas = LIBVMM_IOCTL(KVM_HAS_DEVICE_ATTR);
  const kvm_device_attr argument = Argument(attribute, nullptr);
  return ::ioctl(fd, kHas.code, &argument) == 0;
}

absl::Status SetDeviceAttribute(int fd, DeviceAttribute attribute,
                                const void* value) {
  const kvm_device_attr argument = Argument(attribute, value);
  return CallIoctl(fd, LIBVMM_IOCTL(KVM_SET_DEVICE_ATTR), &argument,
                   Detail(attribute))
      .status();
}

absl::Status GetDeviceAttribute(int fd, DeviceAttribute attribute,
                                void* value) {
  const kvm_device_attr argument = Argument(attribute, value);
  return CallIoctl(fd, LIBVMM_IOCTL(KVM_GET_DEVICE_ATTR), &argument,
                   Detail(attribute))
      .status();
}

}  // namespace libvmm
