// SPDX-License-Identifier: Apache-2.0
#include "libvmm/boot/firmware/reset_vector.h"

#include <cstdint>

#include "libvmm/base/status_macros.h"
#include "libvmm/boot/control_registers.h"
#include "libvmm/boot/real_mode.h"
#include "libvmm/kvm/abi.h"

namespace libvmm {
namespace {

constexpr uint16_t kSelector = 0xf000;
constexpr uint64_t kBase = 0xffff0000;
constexpr uint16_t kOffset = 0xfff0;
constexpr uint64_t kSignature = 0x600;  // family 6

}  // namespace

void SetResetVector(kvm_sregs& sregs, kvm_regs& regs) {
  SetRealMode({.cs = kSelector, .ip = kOffset}, sregs, regs);
  sregs.cr0 |= Cr0CacheDisable::kMask | Cr0NotWriteThrough::kMask;
  sregs.cs.base = kBase;
  regs.rdx = kSignature;
}

absl::Status EnterResetVector(Vcpu& vcpu) {
  LIBVMM_ASSIGN_OR_RETURN(kvm_sregs* const sregs,
                          vcpu.MutableSpecialRegisters());
  LIBVMM_ASSIGN_OR_RETURN(kvm_regs* const regs, vcpu.MutableRegisters());
  SetResetVector(*sregs, *regs);
  return absl::OkStatus();
}

}  // namespace libvmm
