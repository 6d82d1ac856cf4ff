// SPDX-License-Identifier: Apache-2.0
#include "libvmm/kvm/vcpu_state.h"

#include <cerrno>
#include <type_traits>

#include "absl/strings/str_cat.h"
#include "libvmm/base/errno_status.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/capability.h"
#include "libvmm/kvm/ioctl.h"
#include "libvmm/kvm/vcpu_ioctl.h"

namespace libvmm {

// The calls for a struct, and the capability without which they fail; the rows
// are at the end of this file.
template <typename T>
struct VcpuStateCalls;

namespace {

// Every KVM has these.
constexpr Capability kBasic = {};

// The meaning of EINVAL to a KVM_GET_ request, whose arguments cannot be wrong.
template <typename T>
absl::Status GetError(const absl::Status& status) {
  constexpr Capability kCapability = VcpuStateCalls<T>::kCapability;
  if (std::is_same_v<T, kvm_lapic_state> && IsErrno(status, EINVAL)) {
    return absl::FailedPreconditionError(
        absl::StrCat("the VM has no in-kernel local APIC: ", status.message()));
  }
  if (*kCapability.name == '\0') return status;
  return internal::WithoutCapability(status, kCapability);
}

// State that the register sets which a Vcpu caches have nothing of: they stay
// as they are.
template <typename T>
constexpr bool kApart =
    std::is_same_v<T, kvm_fpu> || std::is_same_v<T, kvm_xcrs> ||
    std::is_same_v<T, kvm_debugregs>;

template <typename T>
absl::Status Get(Vcpu& vcpu, T& state) {
  constexpr IoctlRequest kGet = VcpuStateCalls<T>::kGet;
  const absl::Status status =
      (kApart<T> ? CallIoctl(vcpu.fd(), kGet, &state)
                 : internal::ReadVcpu(vcpu, kGet, &state))
          .status();
  return status.ok() ? status : GetError<T>(status);
}

}  // namespace

template <VcpuState T>
absl::StatusOr<T> GetVcpuState(Vcpu& vcpu) {
  T state = {};
  const absl::Status status = Get(vcpu, state);
  // These two may deliver an INIT, a SIPI or a payload: other registers change.
  if (std::is_same_v<T, kvm_mp_state> || std::is_same_v<T, kvm_vcpu_events>) {
    vcpu.DropRegisters();
  }
  LIBVMM_RETURN_IF_ERROR(status);
  return state;
}

template <VcpuState T>
absl::Status SetVcpuState(Vcpu& vcpu, const T& state) {
  if constexpr (std::is_same_v<T, kvm_sregs> || std::is_same_v<T, kvm_sregs2>) {
    // KVM takes CR8 from there at entry, without an in-kernel local APIC.
    LIBVMM_ASSIGN_OR_RETURN(kvm_run * run, vcpu.run_page());
    run->cr8 = state.cr8;
  }
  constexpr IoctlRequest kSet = VcpuStateCalls<T>::kSet;
  const absl::Status status =
      (kApart<T> ? CallIoctl(vcpu.fd(), kSet, &state)
                 : internal::WriteVcpu(vcpu, kSet, &state))
          .status();
  // EINVAL can also mean a kernel without the call: its counterpart tells.
  if (IsErrno(status, EINVAL)) {
    T unused = {};
    LIBVMM_RETURN_IF_ERROR(Get(vcpu, unused));
  }
  return status;
}

#define LIBVMM_VCPU_STATE(type, get, set, capability)      \
  template <>                                              \
  struct VcpuStateCalls<type> {                            \
    static constexpr IoctlRequest kGet = {get, #get};      \
    static constexpr IoctlRequest kSet = {set, #set};      \
    static constexpr Capability kCapability = capability;  \
  };                                                       \
  template absl::StatusOr<type> GetVcpuState<type>(Vcpu&); \
  template absl::Status SetVcpuState<type>(Vcpu&, const type&)

LIBVMM_VCPU_STATE(kvm_regs, KVM_GET_REGS, KVM_SET_REGS, kBasic);
LIBVMM_VCPU_STATE(kvm_sregs, KVM_GET_SREGS, KVM_SET_SREGS, kBasic);
LIBVMM_VCPU_STATE(kvm_sregs2, KVM_GET_SREGS2, KVM_SET_SREGS2,
                  LIBVMM_CAPABILITY(KVM_CAP_SREGS2));
LIBVMM_VCPU_STATE(kvm_fpu, KVM_GET_FPU, KVM_SET_FPU, kBasic);
LIBVMM_VCPU_STATE(kvm_xcrs, KVM_GET_XCRS, KVM_SET_XCRS,
                  LIBVMM_CAPABILITY(KVM_CAP_XCRS));
LIBVMM_VCPU_STATE(kvm_debugregs, KVM_GET_DEBUGREGS, KVM_SET_DEBUGREGS,
                  LIBVMM_CAPABILITY(KVM_CAP_DEBUGREGS));
LIBVMM_VCPU_STATE(kvm_lapic_state, KVM_GET_LAPIC, KVM_SET_LAPIC,
                  LIBVMM_CAPABILITY(KVM_CAP_IRQCHIP));
LIBVMM_VCPU_STATE(kvm_mp_state, KVM_GET_MP_STATE, KVM_SET_MP_STATE,
                  LIBVMM_CAPABILITY(KVM_CAP_MP_STATE));
LIBVMM_VCPU_STATE(kvm_vcpu_events, KVM_GET_VCPU_EVENTS, KVM_SET_VCPU_EVENTS,
                  LIBVMM_CAPABILITY(KVM_CAP_VCPU_EVENTS));
#undef LIBVMM_VCPU_STATE

}  // namespace libvmm
