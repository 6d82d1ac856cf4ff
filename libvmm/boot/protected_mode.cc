// SPDX-License-Identifier: Apache-2.0
#include "libvmm/boot/protected_mode.h"

#include <array>
#include <cstddef>
#include <cstring>
#include <limits>

#include "absl/strings/str_cat.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/boot/control_registers.h"
#include "libvmm/boot/start_registers.h"
#include "libvmm/kvm/abi.h"

namespace libvmm {
namespace {

struct ProtectedModeGdt {
  Gdt table;
  uint16_t code;
  uint16_t data;
  uint16_t tss;
  Gpa tss_base;
};

ProtectedModeGdt BuildGdt(Gpa base) {
  ProtectedModeGdt gdt;
  gdt.tss_base = base + (kProtectedModeTablesSize - kTssSize);
  gdt.code = gdt.table.Add(kKernelCode32Descriptor);
  gdt.data = gdt.table.Add(kKernelDataDescriptor);
  gdt.tss = gdt.table.Add(TssDescriptorLow(gdt.tss_base));
  return gdt;
}

}  // namespace

void SetProtectedMode(const ProtectedModeStart& start, kvm_sregs& sregs,
                      kvm_regs& regs) {
  internal::ClearForStart(sregs, regs);
  const ProtectedModeGdt gdt = BuildGdt(start.tables);
  sregs.cr0 = Cr0NumericError::kMask | Cr0ExtensionType::kMask |
              Cr0MonitorCoprocessor::kMask | Cr0ProtectionEnable::kMask;
  sregs.cs = *gdt.table.Segment(gdt.code);
  sregs.ds = *gdt.table.Segment(gdt.data);
  sregs.es = sregs.fs = sregs.gs = sregs.ss = sregs.ds;
  sregs.tr = *gdt.table.Segment(gdt.tss);
  // Without paging a linear address is a physical one.
  sregs.gdt = gdt.table.Register(Gva(start.tables.value()));
  regs.rip = start.entry.value();
  regs.rsp = start.stack_top.value();
}

absl::Status EnterProtectedMode(Vcpu& vcpu, GuestMemory& memory,
                                const ProtectedModeStart& start) {
  // ESP holds the top of the address space, 4 GiB, as zero.
  constexpr uint64_t kLimit = std::numeric_limits<uint32_t>::max();
  if (start.entry.value() > kLimit || start.stack_top.value() > kLimit) {
    return absl::InvalidArgumentError(
        absl::StrCat("protected mode entry 0x", absl::Hex(start.entry.value()),
                     " or stack top 0x", absl::Hex(start.stack_top.value()),
                     " is not below 4 GiB"));
  }
  if (!start.tables.IsAligned(8) ||
      !RangeFits(kLimit, start.tables.value(), kProtectedModeTablesSize)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "protected mode tables at gpa 0x", absl::Hex(start.tables.value()),
        ", size ", kProtectedModeTablesSize,
        ", are not a multiple of 8 below 4 GiB"));
  }
  LIBVMM_ASSIGN_OR_RETURN(kvm_sregs* const sregs,
                          vcpu.MutableSpecialRegisters());
  LIBVMM_ASSIGN_OR_RETURN(kvm_regs* const regs, vcpu.MutableRegisters());

  std::array<std::byte, kProtectedModeTablesSize> tables{};
  const Gdt gdt = BuildGdt(start.tables).table;
  std::memcpy(tables.data(), gdt.bytes().data(), gdt.bytes().size());
  if (!memory.Write(start.tables, tables)) {
    return absl::OutOfRangeError(absl::StrCat(
        "protected mode tables at gpa 0x", absl::Hex(start.tables.value()),
        " are not in writable guest memory"));
  }
  SetProtectedMode(start, *sregs, *regs);
  return absl::OkStatus();
}

}  // namespace libvmm
