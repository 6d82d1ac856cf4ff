// SPDX-License-Identifier: Apache-2.0
#include "libvmm/sandbox/runtime/runtime_image.h"

#include <cstddef>
#include <cstring>
#include <span>

#include "libvmm/boot/control_registers.h"
#include "libvmm/boot/gdt.h"
#include "libvmm/boot/interrupt_gate.h"
#include "libvmm/boot/segment_descriptor.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/cpuid_registers.h"
#include "libvmm/kvm/msr_registers.h"
#include "libvmm/sandbox/runtime/runtime_code.h"
#include "libvmm/sandbox/runtime/runtime_layout.h"

namespace libvmm::sandbox {
namespace {

using Layout = RuntimeLayout;

// In the page of kDescriptors.
constexpr uint64_t kTssOffset = 0x80;
// 64-bit task-state segment (Intel SDM volume 3, figure 8-11).
constexpr uint64_t kTssInterruptStack1 = 36;
constexpr uint64_t kTssIoMapBase = 102;
constexpr uint8_t kTrapStackTable = 1;
// Bits for the ports up to kSyscallPort, and the byte of ones that must follow.
// What lies behind the segment's limit is closed.
constexpr uint32_t kIoBitmapSize = Layout::kSyscallPort / 8 + 1;
constexpr uint32_t kTssBytes = kTssSize + kIoBitmapSize + 1;

// As Gdt::LongMode, but without the 32-bit segments: no code of the program runs
// in compatibility mode.
Gdt BuildGdt() {
  Gdt gdt;
  gdt.Add(kNullDescriptor);
  gdt.Add(kKernelCode64Descriptor);
  gdt.Add(kKernelDataDescriptor);
  gdt.Add(kNullDescriptor);
  gdt.Add(kUserDataDescriptor);
  gdt.Add(kUserCode64Descriptor);
  gdt.Add(kNullDescriptor);
  gdt.AddTss64(Gpa(Layout::InKernel(Layout::kDescriptors + kTssOffset).value()),
               kTssBytes);
  return gdt;
}

std::array<std::byte, kTssBytes> BuildTss(SyscallEntry entry) {
  std::array<std::byte, kTssBytes> tss{};
  const uint64_t stack =
      Layout::InKernel(Layout::kTrapStack + Layout::kPageSize).value();
  std::memcpy(tss.data() + kTssInterruptStack1, &stack, sizeof stack);
  const uint16_t map_base = kTssSize;
  std::memcpy(tss.data() + kTssIoMapBase, &map_base, sizeof map_base);
  for (uint32_t i = kTssSize; i < kTssBytes; ++i) tss[i] = std::byte{0xff};
  if (entry == SyscallEntry::kRing3) {
    tss[kTssSize + Layout::kSyscallPort / 8] &=
        ~(std::byte{1} << (Layout::kSyscallPort % 8));
  }
  return tss;
}

std::array<InterruptGate, RuntimeCode::kTrapCount> BuildIdt() {
  std::array<InterruptGate, RuntimeCode::kTrapCount> idt;
  for (uint8_t vector = 0; vector < idt.size(); ++vector) {
    idt[vector] = InterruptGate::To({.handler = RuntimeCode::TrapEntry(vector),
                                     .selector = Gdt::kKernelCode64,
                                     .stack_table = kTrapStackTable});
  }
  return idt;
}

template <typename Bits>
bool Has(const Cpuid& cpuid, CpuidLeaf leaf,
         uint32_t kvm_cpuid_entry2::*which) {
  const kvm_cpuid_entry2* const entry = cpuid.Find(leaf);
  return entry != nullptr && Bits::Get(entry->*which) != 0;
}

}  // namespace

bool WriteRuntime(GuestMemory& memory, SyscallEntry entry) {
  const Gdt gdt = BuildGdt();
  const auto tss = BuildTss(entry);
  const auto idt = BuildIdt();
  return memory.Write(Layout::kDescriptors, gdt.bytes()) &&
         memory.Write(Layout::kDescriptors + kTssOffset, tss) &&
         memory.Write(Layout::kInterrupts, std::as_bytes(std::span(idt))) &&
         memory.Write(Layout::kKernelCode, RuntimeCode::Kernel()) &&
         memory.Write(Layout::kUserCode, RuntimeCode::User());
}

std::vector<PageMapping> RuntimeMappings(uint64_t memory_size) {
  const auto kernel = [](Gpa gpa, PageAccess access) {
    return PageMapping{.gva = Layout::InKernel(gpa),
                       .gpa = gpa,
                       .size = Layout::kPageSize,
                       .access = access};
  };
  return {
      // Writable: the CPU marks the task-state segment busy.
      kernel(Layout::kDescriptors, {.writable = true}),
      kernel(Layout::kInterrupts, {}),
      kernel(Layout::kKernelCode, {.executable = true}),
      kernel(Layout::kTrapStack, {.writable = true}),
      kernel(Layout::kWork, {}),
      {.gva = Layout::kDirectMap,
       .gpa = Gpa(0),
       .size = memory_size,
       .access = {.writable = true}},
      {.gva = Layout::kUserPages,
       .gpa = Layout::kUserCode,
       .size = Layout::kPageSize,
       .access = {.executable = true, .user = true}},
      {.gva = Layout::kUserArguments,
       .gpa = Layout::kArguments,
       .size = Layout::kPageSize,
       .access = {.user = true}},
  };
}

RuntimeCpu RuntimeCpu::From(const Cpuid& cpuid) {
  const CpuidLeaf features{.function = cpuid::kFeatures};
  RuntimeCpu cpu{
      .smep = Has<cpuid::Smep>(cpuid, features, &kvm_cpuid_entry2::ebx),
      .smap = Has<cpuid::Smap>(cpuid, features, &kvm_cpuid_entry2::ebx),
      .umip = Has<cpuid::Umip>(cpuid, features, &kvm_cpuid_entry2::ecx),
      .xsave = Has<cpuid::Xsave>(cpuid, {.function = cpuid::kVersion},
                                 &kvm_cpuid_entry2::ecx),
  };
  const kvm_cpuid_entry2* const xsave = cpuid.Find({.function = cpuid::kXsave});
  if (cpu.xsave && xsave != nullptr) {
    cpu.xcr0 = uint64_t{xsave->edx} << 32 | xsave->eax;
  }
  return cpu;
}

void SetRuntimeRegisters(const RuntimeCpu& cpu, Gpa page_tables,
                         kvm_sregs& sregs) {
  const uint64_t apic_base = sregs.apic_base;
  sregs = {};
  sregs.apic_base = apic_base;
  const Gdt gdt = BuildGdt();
  sregs.cr0 = Cr0Paging::kMask | Cr0AlignmentMask::kMask |
              Cr0WriteProtect::kMask | Cr0NumericError::kMask |
              Cr0ExtensionType::kMask | Cr0MonitorCoprocessor::kMask |
              Cr0ProtectionEnable::kMask;
  sregs.cr3 = page_tables.value();
  sregs.cr4 = Cr4OsXmmExceptions::kMask | Cr4OsFxsr::kMask |
              Cr4PhysicalAddressExtension::kMask |
              Cr4SupervisorExecute::Of(cpu.smep) |
              Cr4SupervisorAccess::Of(cpu.smap) |
              Cr4UserInstructions::Of(cpu.umip) | Cr4OsXsave::Of(cpu.xsave);
  sregs.efer = EferNoExecuteEnable::kMask | EferLongModeActive::kMask |
               EferLongModeEnable::kMask | EferSyscallEnable::kMask;
  sregs.gdt = gdt.Register(Layout::InKernel(Layout::kDescriptors));
  sregs.idt.base = Layout::InKernel(Layout::kInterrupts).value();
  sregs.idt.limit = sizeof(InterruptGate) * RuntimeCode::kTrapCount - 1;
  sregs.tr = *gdt.Segment(Gdt::kTss);
  // Null selectors, as Linux gives to a program; KVM calls them unusable.
  sregs.ldt.unusable = 1;
  sregs.ds = sregs.es = sregs.fs = sregs.gs = *gdt.Segment(0);
  SetRing(Ring::k3, sregs);
}

void SetRing(Ring ring, kvm_sregs& sregs) {
  const bool user = ring == Ring::k3;
  const uint16_t code = user ? Gdt::kUserCode64 : Gdt::kKernelCode64;
  const uint16_t data = user ? Gdt::kUserData : Gdt::kKernelData;
  sregs.cs = ToKvmSegment(
      user ? kUserCode64Descriptor : kKernelCode64Descriptor, code);
  sregs.ss =
      ToKvmSegment(user ? kUserDataDescriptor : kKernelDataDescriptor, data);
}

Ring RingOf(const kvm_sregs& sregs) {
  return sregs.cs.dpl == 0 ? Ring::k0 : Ring::k3;
}

std::array<Msr, 3> RuntimeMsrs(SyscallEntry entry) {
  // SYSRET's CS is the field plus 16, its SS the field plus 8; SYSCALL's SS is
  // CS plus 8 (Intel SDM volume 2, "SYSRET").
  const uint64_t star = uint64_t{Gdt::kUserCode64 - 16} << 48 |
                        uint64_t{Gdt::kKernelCode64} << 32;
  const Gva target = entry == SyscallEntry::kRing0
                         ? RuntimeCode::kernel_syscall()
                         : RuntimeCode::user_syscall();
  // Ring 0 runs without them; R11 has them for the program.
  const uint64_t cleared =
      RflagsIdentification::kMask | RflagsAlignmentCheck::kMask |
      RflagsNestedTask::kMask | RflagsIoPrivilege::kMask |
      RflagsDirection::kMask | RflagsInterrupt::kMask | RflagsTrap::kMask;
  return {Msr{msr::kStar, star}, Msr{msr::kLstar, target.value()},
          Msr{msr::kFmask, cleared}};
}

}  // namespace libvmm::sandbox
