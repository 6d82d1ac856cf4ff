// SPDX-License-Identifier: Apache-2.0
#include "libvmm/platform/local_apic_setup.h"

#include <cstdint>
#include <cstring>

#include "libvmm/base/field.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/vcpu_state.h"

namespace libvmm {
namespace {

// Offsets in the register page, 32 bits each (SDM volume 3, table 11-1).
enum class Register : uint32_t {
  kLvtLint0 = 0x350,  // rw 0x00010000 LVT LINT0
  kLvtLint1 = 0x360,  // rw 0x00010000 LVT LINT1
};

// Local vector table entries of the pins (figure 11-8).
using LvtDeliveryMode = Field<uint32_t, 10, 8>;
enum class DeliveryMode : uint32_t { kNmi = 4, kExtInt = 7 };

void WritePin(kvm_lapic_state& state, Register pin, DeliveryMode mode) {
  // Edge, active high, not masked; the two modes have no vector.
  const uint32_t entry = LvtDeliveryMode::Of(static_cast<uint32_t>(mode));
  std::memcpy(&state.regs[static_cast<uint32_t>(pin)], &entry, sizeof(entry));
}

}  // namespace

absl::Status WireLocalInterrupts(Vcpu& vcpu) {
  LIBVMM_ASSIGN_OR_RETURN(kvm_lapic_state state,
                          GetVcpuState<kvm_lapic_state>(vcpu));
  WritePin(state, Register::kLvtLint0, DeliveryMode::kExtInt);
  WritePin(state, Register::kLvtLint1, DeliveryMode::kNmi);
  return SetVcpuState(vcpu, state);
}

}  // namespace libvmm
