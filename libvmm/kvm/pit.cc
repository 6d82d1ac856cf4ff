// SPDX-License-Identifier: Apache-2.0
#include "libvmm/kvm/pit.h"

#include "libvmm/base/status_macros.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/capability.h"
#include "libvmm/kvm/ioctl.h"

namespace libvmm {

absl::StatusOr<Pit> Pit::Create(const Vm& vm, const IrqChip& irqchip,
                                const Options& options) {
  if (irqchip.is_split()) {
    return absl::FailedPreconditionError(
        "KVM_CREATE_PIT2 needs the full in-kernel irqchip, this VM's is split");
  }
  LIBVMM_RETURN_IF_ERROR(
      RequireCapability(vm.fd(), LIBVMM_CAPABILITY(KVM_CAP_PIT2)).status());
  kvm_pit_config config = {};
  if (options.speaker_port) config.flags |= KVM_PIT_SPEAKER_DUMMY;
  LIBVMM_RETURN_IF_ERROR(
      CallIoctl(vm.fd(), LIBVMM_IOCTL(KVM_CREATE_PIT2), &config).status());
  return Pit(vm.shared_fd());
}

absl::StatusOr<kvm_pit_state2> Pit::GetState() const {
  LIBVMM_RETURN_IF_ERROR(
      RequireCapability(vm_->get(), LIBVMM_CAPABILITY(KVM_CAP_PIT_STATE2))
          .status());
  kvm_pit_state2 state = {};
  LIBVMM_RETURN_IF_ERROR(
      CallIoctl(vm_->get(), LIBVMM_IOCTL(KVM_GET_PIT2), &state).status());
  return state;
}

absl::Status Pit::SetState(const kvm_pit_state2& state) const {
  LIBVMM_RETURN_IF_ERROR(
      RequireCapability(vm_->get(), LIBVMM_CAPABILITY(KVM_CAP_PIT_STATE2))
          .status());
  return CallIoctl(vm_->get(), LIBVMM_IOCTL(KVM_SET_PIT2), &state).status();
}

absl::Status Pit::SetReinject(bool reinject) const {
  LIBVMM_RETURN_IF_ERROR(
      RequireCapability(vm_->get(), LIBVMM_CAPABILITY(KVM_CAP_REINJECT_CONTROL))
          .status());
  kvm_reinject_control control = {};
  control.pit_reinject = reinject ? 1 : 0;
  return CallIoctl(vm_->get(), LIBVMM_IOCTL(KVM_REINJECT_CONTROL), &control)
      .status();
}

}  // namespace libvmm
