// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_KVM_GUEST_DEBUG_H_
#define LIBVMM_KVM_GUEST_DEBUG_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "libvmm/base/address.h"
#include "libvmm/kvm/vcpu.h"

struct kvm_guest_debug;

namespace libvmm {

// One of the four breakpoints of the x86 debug registers (Intel SDM volume 3,
// chapter 17.2), set for the host: the guest neither sees nor can clear it.
struct HardwareBreakpoint {
  enum class Kind : uint8_t {
    kExecute = 0,    // before the instruction at `address`; size 1
    kWrite = 1,      // after a write
    kReadWrite = 3,  // after a read or write, not a fetch
  };

  Gva address;
  Kind kind = Kind::kExecute;
  // Bytes watched: 1, 2, 4 or 8; `address` is a multiple of it.
  uint8_t size = 1;
};

// What to stop a vCPU for. Each stop is an exit with reason kDebug, before the
// guest sees anything. The default stops for nothing.
struct GuestDebug {
  // After every instruction.
  bool single_step = false;
  // With single_step: hold interrupts back, so that the step stays in the code
  // that is looked at. Not in every kernel (KVM_CAP_SET_GUEST_DEBUG2 has the
  // mask).
  bool block_interrupts = false;
  // At INT3 instructions, which the debugger has written into the guest's code.
  bool software_breakpoints = false;
  // At most four; lent for the call.
  std::span<const HardwareBreakpoint> hardware_breakpoints = {};
  // Hand an exception to the guest instead: for the breakpoints that turned out
  // to be its own. At most one; it is queued once, by this call.
  bool inject_debug_exception = false;
  bool inject_breakpoint_exception = false;
};

// How many hardware breakpoints x86 has.
inline constexpr size_t kMaxHardwareBreakpoints = 4;

// The kernel's form of `debug`. kInvalidArgument names what cannot be: more
// than four breakpoints, a size or alignment the hardware does not have, an
// address range for execution, both exceptions.
absl::StatusOr<kvm_guest_debug> EncodeGuestDebug(const GuestDebug& debug);

// KVM_SET_GUEST_DEBUG: replaces what was asked for before, from the next Run
// on. The default GuestDebug{} ends debugging.
//
// Thread-safety: as Vcpu, not while it runs.
// Errors: those of EncodeGuestDebug; kInvalidArgument for a control bit that
//     this kernel does not know; kFailedPrecondition (EBUSY) when an exception
//     is to be injected and another one is pending.
// Cost: one vCPU ioctl.
absl::Status SetGuestDebug(Vcpu& vcpu, const GuestDebug& debug);

// The same with the kernel's struct, unchecked.
absl::Status SetGuestDebug(Vcpu& vcpu, const kvm_guest_debug& debug);

}  // namespace libvmm

#endif  // LIBVMM_KVM_GUEST_DEBUG_H_
