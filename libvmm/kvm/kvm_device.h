// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_KVM_KVM_DEVICE_H_
#define LIBVMM_KVM_KVM_DEVICE_H_

#include <cstdint>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "libvmm/base/unique_fd.h"
#include "libvmm/kvm/device_attribute.h"
#include "libvmm/kvm/vm.h"

namespace libvmm {

// A device that lives in the kernel and is driven through attributes
// (KVM_CREATE_DEVICE; Linux Documentation/virt/kvm/devices). x86 has one, the
// VFIO bridge, which tells KVM about files of assigned devices; other
// architectures make their interrupt controllers this way.
//
// Thread-safety: thread-safe; the kernel serialises the attributes.
// Ownership: move-only; owns the device's descriptor. The kernel keeps the VM
//     alive as long as that is open.
// Errors: kUnimplemented without KVM_CREATE_DEVICE (ENOTTY); kNotFound (ENODEV)
//     for a type that this KVM does not have; kAlreadyExists (EEXIST) for a
//     second device of a type that allows one.
// Cost: one system call per operation.
class KvmDevice {
 public:
  // `type` is a KVM_DEV_TYPE_ number of abi.h.
  static absl::StatusOr<KvmDevice> Create(const Vm& vm, uint32_t type);

  // True when Create would find the type; makes nothing
  // (KVM_CREATE_DEVICE_TEST).
  [[nodiscard]] static bool IsSupported(const Vm& vm, uint32_t type);

  [[nodiscard]] int fd() const { return fd_.get(); }

  // See device_attribute.h.
  [[nodiscard]] bool HasAttribute(DeviceAttribute attribute) const {
    return HasDeviceAttribute(fd(), attribute);
  }
  template <typename T>
  absl::Status SetAttribute(DeviceAttribute attribute, const T& value) const {
    return SetDeviceAttributeValue(fd(), attribute, value);
  }
  template <typename T>
  absl::StatusOr<T> GetAttribute(DeviceAttribute attribute) const {
    return GetDeviceAttributeValue<T>(fd(), attribute);
  }

 private:
  explicit KvmDevice(UniqueFd fd) : fd_(std::move(fd)) {}

  UniqueFd fd_;
};

}  // namespace libvmm

#endif  // LIBVMM_KVM_KVM_DEVICE_H_
