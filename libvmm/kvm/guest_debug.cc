// SPDX-License-Identifier: Apache-2.0
#include "libvmm/kvm/guest_debug.h"

#include "absl/strings/str_cat.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/vcpu_ioctl.h"

namespace libvmm {
namespace {

// DR7, Intel SDM volume 3, figure 17-1: bit 10 reads as one, GE (bit 9) asks
// for exact data breakpoints, the global enable of breakpoint i is bit 2i + 1,
// its kind and length are the 4 bits from 16 + 4i.
constexpr uint64_t kDr7Fixed = (1 << 10) | (1 << 9);

constexpr uint64_t Dr7Bits(size_t i, HardwareBreakpoint::Kind kind,
                           uint64_t length_code) {
  return uint64_t{2} << (2 * i) |
         (static_cast<uint64_t>(kind) | length_code << 2) << (16 + 4 * i);
}

absl::StatusOr<uint64_t> LengthCode(const HardwareBreakpoint& breakpoint) {
  if (breakpoint.kind == HardwareBreakpoint::Kind::kExecute &&
      breakpoint.size != 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("HardwareBreakpoint.size ", breakpoint.size,
                     ": an execution breakpoint has size 1"));
  }
  uint64_t code = 0;
  switch (breakpoint.size) {
    case 1:
      code = 0;
      break;
    case 2:
      code = 1;
      break;
    case 4:
      code = 3;
      break;
    case 8:
      code = 2;
      break;
    default:
      return absl::InvalidArgumentError(absl::StrCat(
          "HardwareBreakpoint.size ", breakpoint.size, " is not 1, 2, 4 or 8"));
  }
  if (!breakpoint.address.IsAligned(breakpoint.size)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "HardwareBreakpoint.address 0x", absl::Hex(breakpoint.address.value()),
        " is not a multiple of its size ", breakpoint.size));
  }
  return code;
}

}  // namespace

absl::StatusOr<kvm_guest_debug> EncodeGuestDebug(const GuestDebug& debug) {
  kvm_guest_debug out = {};
  if (debug.single_step) out.control |= KVM_GUESTDBG_SINGLESTEP;
  if (debug.block_interrupts) out.control |= KVM_GUESTDBG_BLOCKIRQ;
  if (debug.software_breakpoints) out.control |= KVM_GUESTDBG_USE_SW_BP;
  if (debug.inject_debug_exception && debug.inject_breakpoint_exception) {
    return absl::InvalidArgumentError(
        "GuestDebug asks for both exceptions to be injected");
  }
  if (debug.inject_debug_exception) out.control |= KVM_GUESTDBG_INJECT_DB;
  if (debug.inject_breakpoint_exception) out.control |= KVM_GUESTDBG_INJECT_BP;

  const auto breakpoints = debug.hardware_breakpoints;
  if (breakpoints.size() > kMaxHardwareBreakpoints) {
    return absl::InvalidArgumentError(
        absl::StrCat("GuestDebug.hardware_breakpoints has ", breakpoints.size(),
                     " elements, the hardware 4"));
  }
  if (!breakpoints.empty()) {
    out.control |= KVM_GUESTDBG_USE_HW_BP;
    uint64_t dr7 = kDr7Fixed;
    for (size_t i = 0; i < breakpoints.size(); ++i) {
      LIBVMM_ASSIGN_OR_RETURN(const uint64_t length,
                              LengthCode(breakpoints[i]));
      out.arch.debugreg[i] = breakpoints[i].address.value();
      dr7 |= Dr7Bits(i, breakpoints[i].kind, length);
    }
    out.arch.debugreg[7] = dr7;
  }
  if (out.control != 0) out.control |= KVM_GUESTDBG_ENABLE;
  return out;
}

absl::Status SetGuestDebug(Vcpu& vcpu, const GuestDebug& debug) {
  LIBVMM_ASSIGN_OR_RETURN(const kvm_guest_debug encoded,
                          EncodeGuestDebug(debug));
  return SetGuestDebug(vcpu, encoded);
}

absl::Status SetGuestDebug(Vcpu& vcpu, const kvm_guest_debug& debug) {
  // Single stepping lives in RFLAGS, injection in the events: no stale copies.
  return internal::WriteVcpu(
             vcpu, LIBVMM_IOCTL(KVM_SET_GUEST_DEBUG), &debug,
             absl::StrCat("control 0x", absl::Hex(debug.control)))
      .status();
}

}  // namespace libvmm
