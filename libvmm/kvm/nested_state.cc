// SPDX-License-Identifier: Apache-2.0
#include "libvmm/kvm/nested_state.h"

#include <sys/ioctl.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "libvmm/base/errno_status.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/capability.h"
#include "libvmm/kvm/vcpu_ioctl.h"

namespace libvmm {
namespace {

constexpr Capability kCapability = LIBVMM_CAPABILITY(KVM_CAP_NESTED_STATE);

// VMX keeps two pages, SVM one; far beyond is a kernel bug.
constexpr size_t kMostBytes = 1 << 20;

}  // namespace

NestedState::NestedState(size_t capacity)
    : state_(internal::AllocateFlexBlock<kvm_nested_state>(capacity)),
      capacity_(capacity) {
  state_->size = sizeof(kvm_nested_state);
}

absl::StatusOr<NestedState> NestedState::Create(const Vm& vm) {
  LIBVMM_ASSIGN_OR_RETURN(const int size,
                          RequireCapability(vm.fd(), kCapability));
  return NestedState(
      std::max(sizeof(kvm_nested_state), static_cast<size_t>(size)));
}

absl::StatusOr<NestedState> NestedState::FromBytes(
    std::span<const std::byte> bytes) {
  if (bytes.size() < sizeof(kvm_nested_state)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "nested state of ", bytes.size(),
        " bytes is shorter than its header of ", sizeof(kvm_nested_state)));
  }
  kvm_nested_state header;
  std::memcpy(&header, bytes.data(), sizeof(header));
  if (header.size != bytes.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("kvm_nested_state.size ", header.size, " is not the ",
                     bytes.size(), " bytes given"));
  }
  NestedState state(bytes.size());
  std::memcpy(state.state_.get(), bytes.data(), bytes.size());
  return state;
}

absl::Status NestedState::ReadFrom(Vcpu& vcpu) {
  LIBVMM_RETURN_IF_ERROR(vcpu.FlushRegisters());
  while (true) {
    state_->size = static_cast<uint32_t>(capacity_);
    if (::ioctl(vcpu.fd(), KVM_GET_NESTED_STATE, state_.get()) >= 0) {
      if (state_->size <= capacity_) return absl::OkStatus();
      state_->size = sizeof(kvm_nested_state);
      return absl::InternalError("KVM_GET_NESTED_STATE wrote past its buffer");
    }
    const int error = errno;
    const size_t wanted = state_->size;
    state_->size = sizeof(kvm_nested_state);
    if (error != E2BIG || wanted <= capacity_ || wanted > kMostBytes) {
      return internal::WithoutCapability(
          ErrnoStatus(error, absl::StrCat("ioctl(KVM_GET_NESTED_STATE, ",
                                          capacity_, " bytes)")),
          kCapability);
    }
    *this = NestedState(wanted);
  }
}

absl::Status NestedState::WriteTo(Vcpu& vcpu) const {
  const absl::Status status =
      internal::WriteVcpu(vcpu, LIBVMM_IOCTL(KVM_SET_NESTED_STATE),
                          state_.get(), absl::StrCat(state_->size, " bytes"))
          .status();
  // A KVM without nesting gives the EINVAL of a bad state: reading tells them
  // apart.
  if (IsErrno(status, EINVAL)) {
    NestedState unused(std::max(capacity_, sizeof(kvm_nested_state)));
    LIBVMM_RETURN_IF_ERROR(unused.ReadFrom(vcpu));
  }
  return status;
}

std::span<const std::byte> NestedState::bytes() const {
  return {reinterpret_cast<const std::byte*>(state_.get()), state_->size};
}

}  // namespace libvmm
