// SPDX-License-Identifier: Apache-2.0
#include "libvmm/boot/real_mode.h"

#include "absl/strings/str_cat.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/boot/control_registers.h"
#include "libvmm/boot/segment_descriptor.h"
#include "libvmm/boot/start_registers.h"
#include "libvmm/kvm/abi.h"

namespace libvmm {
namespace {

constexpr uint64_t kRealModeLimit = uint64_t{1} << 20;
constexpr uint64_t kSegmentSize = uint64_t{1} << 16;

// The hidden part as real mode leaves it: 64 KiB, base 16 times the selector
// (SDM volume 3, chapter 10.1.4, and the processor state after reset).
kvm_segment RealModeSegment(uint16_t selector) {
  constexpr uint64_t kDescriptor =
      DescriptorPresent::Of(1) | DescriptorCodeOrData::Of(1) |
      DescriptorType::Of(static_cast<uint64_t>(SegmentType::kDataReadWrite)) |
      DescriptorLimitLow::kMask;
  kvm_segment segment = ToKvmSegment(kDescriptor, selector);
  segment.base = uint64_t{selector} * 16;
  return segment;
}

}  // namespace

absl::StatusOr<RealModeStart> RealModeStart::At(Gpa entry) {
  if (entry.value() >= kRealModeLimit) {
    return absl::OutOfRangeError(absl::StrCat("real mode entry at gpa 0x",
                                              absl::Hex(entry.value()),
                                              " is not below 1 MiB"));
  }
  const auto segment =
      static_cast<uint16_t>(entry.AlignDown(kSegmentSize).value() / 16);
  return RealModeStart{
      .cs = segment,
      .ip = static_cast<uint16_t>(entry.value() % kSegmentSize),
      .ds = segment,
      .ss = segment,
      .sp = 0};
}

void SetRealMode(const RealModeStart& start, kvm_sregs& sregs, kvm_regs& regs) {
  internal::ClearForStart(sregs, regs);
  sregs.cr0 = Cr0ExtensionType::kMask;
  sregs.cs = RealModeSegment(start.cs);
  sregs.ds = RealModeSegment(start.ds);
  sregs.es = sregs.fs = sregs.gs = sregs.ds;
  sregs.ss = RealModeSegment(start.ss);
  sregs.gdt.limit = 0xffff;
  sregs.idt.limit = 0xffff;
  regs.rip = start.ip;
  regs.rsp = start.sp;
}

absl::Status EnterRealMode(Vcpu& vcpu, const RealModeStart& start) {
  LIBVMM_ASSIGN_OR_RETURN(kvm_sregs* const sregs,
                          vcpu.MutableSpecialRegisters());
  LIBVMM_ASSIGN_OR_RETURN(kvm_regs* const regs, vcpu.MutableRegisters());
  SetRealMode(start, *sregs, *regs);
  return absl::OkStatus();
}

}  // namespace libvmm
