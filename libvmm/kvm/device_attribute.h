// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_KVM_DEVICE_ATTRIBUTE_H_
#define LIBVMM_KVM_DEVICE_ATTRIBUTE_H_

#include <cstdint>
#include <type_traits>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace libvmm {

// Names one attribute of a KVM descriptor (Linux
// Documentation/virt/kvm/devices, vcpu.rst and vm.rst): a number inside a
// group. The same three calls serve in-kernel devices, VMs, vCPUs and, on x86,
// /dev/kvm itself.
struct DeviceAttribute {
  uint32_t group = 0;
  uint64_t attribute = 0;
};

// KVM_HAS_DEVICE_ATTR: true when the attribute exists and this descriptor can
// take it. False also where the descriptor has no attributes at all.
//
// Thread-safety: thread-safe, but on a vCPU it waits while the vCPU runs.
// Cost: one system call.
[[nodiscard]] bool HasDeviceAttribute(int fd, DeviceAttribute attribute);

// KVM_SET_DEVICE_ATTR and KVM_GET_DEVICE_ATTR. The kernel reads or writes as
// many bytes at `value` as the attribute has, which is nowhere checked: prefer
// the typed forms below. An attribute without a value takes null.
//
// Errors: ENXIO (kNotFound) no such attribute; ENOTTY (kUnimplemented) a
//     descriptor without attributes; the rest is the attribute's own.
absl::Status SetDeviceAttribute(int fd, DeviceAttribute attribute,
                                const void* value);
absl::Status GetDeviceAttribute(int fd, DeviceAttribute attribute, void* value);

// The same for an attribute whose value is exactly a T.
template <typename T>
requires(std::is_trivially_copyable_v<T> && !std::is_pointer_v<T>) absl::Status
    SetDeviceAttributeValue(int fd, DeviceAttribute attribute, const T& value) {
  return SetDeviceAttribute(fd, attribute, &value);
}
template <typename T>
requires(std::is_trivially_copyable_v<T> && !std::is_pointer_v<T>)
    absl::StatusOr<T> GetDeviceAttributeValue(int fd,
                                              DeviceAttribute attribute) {
  T value = {};
  if (absl::Status status = GetDeviceAttribute(fd, attribute, &value);
      !status.ok()) {
    return status;
  }
  return value;
}

}  // namespace libvmm

#endif  // LIBVMM_KVM_DEVICE_ATTRIBUTE_H_
