// SPDX-License-Identifier: Apache-2.0
#include "libvmm/kvm/memory_attributes.h"

#include "absl/strings/str_cat.h"
#include "libvmm/base/mapping.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/capability.h"
#include "libvmm/kvm/ioctl.h"

namespace libvmm {

uint64_t SupportedMemoryAttributes(const Vm& vm) {
  return static_cast<uint64_t>(vm.CheckExtension(KVM_CAP_MEMORY_ATTRIBUTES));
}

absl::Status SetMemoryAttributes(const Vm& vm, const GpaRange& range,
                                 uint64_t attributes) {
  if (range.size == 0 || range.size % PageSize() != 0 ||
      !range.start.IsAligned(PageSize()) ||
      !GpaRange::Create(range.start, range.size)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "range at 0x", absl::Hex(range.start.value()), " of 0x",
        absl::Hex(range.size), " bytes is not made of whole pages"));
  }
  LIBVMM_ASSIGN_OR_RETURN(
      const int supported,
      RequireCapability(vm.fd(), LIBVMM_CAPABILITY(KVM_CAP_MEMORY_ATTRIBUTES)));
  if ((attributes & ~static_cast<uint64_t>(supported)) != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("memory attributes 0x", absl::Hex(attributes),
                     " are not within 0x", absl::Hex(supported)));
  }
  kvm_memory_attributes argument = {};
  argument.address = range.start.value();
  argument.size = range.size;
  argument.attributes = attributes;
  return CallIoctl(vm.fd(), LIBVMM_IOCTL(KVM_SET_MEMORY_ATTRIBUTES), &argument,
                   absl::StrCat("0x", absl::Hex(range.start.value()), ", 0x",
                                absl::Hex(range.size), " bytes"))
      .status();
}

}  // namespace libvmm
