// SPDX-License-Identifier: Apache-2.0
#include "libvmm/kvm/one_reg.h"

#include <sys/ioctl.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "libvmm/base/errno_status.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/capability.h"
#include "libvmm/kvm/flex_block.h"
#include "libvmm/kvm/vcpu_ioctl.h"

namespace libvmm {
namespace {

constexpr Capability kCapability = LIBVMM_CAPABILITY(KVM_CAP_ONE_REG);

constexpr uint64_t kMostIds = 1 << 20;

// The kernel moves as many bytes as the id says, so a wide id must not reach
// it.
absl::Status CheckSize(uint64_t id) {
  const uint64_t size = uint64_t{1}
                        << ((id & KVM_REG_SIZE_MASK) >> KVM_REG_SIZE_SHIFT);
  if (size <= sizeof(uint64_t)) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "register id 0x", absl::Hex(id), " names ", size, " bytes, more than 8"));
}

// EINVAL is an unknown register or a kernel without the call: the list tells.
absl::Status Explain(Vcpu& vcpu, const absl::Status& status) {
  if (IsErrno(status, EINVAL) || IsErrno(status, ENOTTY)) {
    LIBVMM_RETURN_IF_ERROR(RegisterIds(vcpu).status());
  }
  return status;
}

}  // namespace

absl::StatusOr<uint64_t> GetOneReg(Vcpu& vcpu, uint64_t id) {
  LIBVMM_RETURN_IF_ERROR(CheckSize(id));
  uint64_t value = 0;
  const kvm_one_reg reg = {.id = id,
                           .addr = reinterpret_cast<uintptr_t>(&value)};
  const absl::Status status =
      internal::ReadVcpu(vcpu, LIBVMM_IOCTL(KVM_GET_ONE_REG), &reg,
                         absl::StrCat("id 0x", absl::Hex(id)))
          .status();
  if (!status.ok()) return Explain(vcpu, status);
  return value;
}

absl::Status SetOneReg(Vcpu& vcpu, OneReg one) {
  LIBVMM_RETURN_IF_ERROR(CheckSize(one.id));
  const kvm_one_reg reg = {.id = one.id,
                           .addr = reinterpret_cast<uintptr_t>(&one.value)};
  const absl::Status status =
      internal::WriteVcpu(vcpu, LIBVMM_IOCTL(KVM_SET_ONE_REG), &reg,
                          absl::StrCat("id 0x", absl::Hex(one.id), ", value 0x",
                                       absl::Hex(one.value)))
          .status();
  return status.ok() ? status : Explain(vcpu, status);
}

absl::StatusOr<std::vector<uint64_t>> RegisterIds(Vcpu& vcpu) {
  uint64_t capacity = 0;
  while (true) {
    const auto list = internal::AllocateFlexBlock<kvm_reg_list>(
        sizeof(kvm_reg_list) + capacity * sizeof(uint64_t));
    list->n = capacity;
    if (::ioctl(vcpu.fd(), KVM_GET_REG_LIST, list.get()) >= 0) {
      return std::vector<uint64_t>(list->reg, list->reg + list->n);
    }
    const int error = errno;
    // E2BIG comes with the count that is needed.
    if (error != E2BIG || list->n <= capacity || list->n > kMostIds) {
      return internal::WithoutCapability(
          ErrnoStatus(error, absl::StrCat("ioctl(KVM_GET_REG_LIST, room for ",
                                          capacity, ")")),
          kCapability);
    }
    capacity = list->n;
  }
}

}  // namespace libvmm
