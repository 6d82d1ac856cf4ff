// SPDX-License-Identifier: Apache-2.0
#include "libvmm/kvm/pre_fault.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/vcpu_ioctl.h"

namespace libvmm {

absl::StatusOr<GpaRange> PreFaultMemory(Vcpu& vcpu, GpaRange range) {
  constexpr uint64_t kPageSize = 4096;
  const std::string what = absl::StrCat(
      "gpa 0x", absl::Hex(range.start.value()), ", ", range.size, " bytes");
  if (range.size == 0 || range.size % kPageSize != 0 ||
      !range.start.IsAligned(kPageSize) ||
      !GpaRange::Create(range.start, range.size).has_value()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "KVM_PRE_FAULT_MEMORY: ", what, " is not a range of whole pages"));
  }
  kvm_pre_fault_memory request = {};
  request.gpa = range.start.value();
  request.size = range.size;
  const absl::Status status =
      internal::ReadVcpu(vcpu, LIBVMM_IOCTL(KVM_PRE_FAULT_MEMORY), &request,
                         what)
          .status();
  if (!status.ok()) {
    // The arguments were checked above: EINVAL is a kernel without the call.
    return internal::WithoutCapability(
        status, LIBVMM_CAPABILITY(KVM_CAP_PRE_FAULT_MEMORY));
  }
  return GpaRange{Gpa(request.gpa), request.size};
}

}  // namespace libvmm
