// SPDX-License-Identifier: Apache-2.0
#include "libvmm/testing/real_mode_guest.h"

#include <algorithm>
#include <utility>

#include "libvmm/base/status_macros.h"
#include "libvmm/boot/real_mode.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/ioctl.h"

namespace libvmm::testing {

absl::StatusOr<RealModeGuest> RealModeGuest::Create(
    std::initializer_list<uint8_t> code) {
  RealModeGuest guest;
  LIBVMM_ASSIGN_OR_RETURN(guest.memory_,
                          Mapping::Create({.size = kMemorySize}));
  std::copy(code.begin(), code.end(), guest.memory() + kEntry);
  LIBVMM_ASSIGN_OR_RETURN(Kvm kvm, Kvm::Open());
  guest.kvm_ = std::make_unique<Kvm>(std::move(kvm));
  LIBVMM_ASSIGN_OR_RETURN(Vm vm, Vm::Create(*guest.kvm_));
  guest.vm_ = std::make_unique<Vm>(std::move(vm));
  const kvm_userspace_memory_region region = {
      .slot = 0,
      .flags = 0,
      .guest_phys_addr = 0,
      .memory_size = kMemorySize,
      .userspace_addr = reinterpret_cast<uint64_t>(guest.memory_.data()),
  };
  LIBVMM_RETURN_IF_ERROR(CallIoctl(guest.vm_->fd(),
                                   LIBVMM_IOCTL(KVM_SET_USER_MEMORY_REGION),
                                   &region)
                             .status());
  LIBVMM_ASSIGN_OR_RETURN(Vcpu vcpu, guest.MakeVcpu(0));
  guest.vcpu_ = std::make_unique<Vcpu>(std::move(vcpu));
  return guest;
}

absl::StatusOr<Vcpu> RealModeGuest::MakeVcpu(uint32_t id) {
  LIBVMM_ASSIGN_OR_RETURN(Vcpu vcpu, Vcpu::Create(*vm_, id));
  LIBVMM_RETURN_IF_ERROR(EnterRealMode(vcpu, {.ip = kEntry, .sp = 0x8000}));
  return vcpu;
}

}  // namespace libvmm::testing
