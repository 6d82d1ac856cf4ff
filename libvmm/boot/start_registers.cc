// SPDX-License-Identifier: Apache-2.0
#include "libvmm/boot/start_registers.h"

#include "libvmm/boot/control_registers.h"
#include "libvmm/boot/segment_descriptor.h"
#include "libvmm/kvm/abi.h"

namespace libvmm::internal {

void ClearForStart(kvm_sregs& sregs, kvm_regs& regs) {
  const uint64_t apic_base = sregs.apic_base;
  const uint64_t cr8 = sregs.cr8;
  sregs = {};
  sregs.apic_base = apic_base;
  sregs.cr8 = cr8;
  sregs.tr = ToKvmSegment(TssDescriptorLow(Gpa(0)), 0);
  sregs.ldt = ToKvmSegment(kNullDescriptor, 0);
  sregs.ldt.type = static_cast<uint8_t>(SegmentType::kLdt);
  regs = {};
  regs.rflags = RflagsReserved::kMask;
}

}  // namespace libvmm::internal
