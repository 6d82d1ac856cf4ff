// SPDX-License-Identifier: Apache-2.0
#include "libvmm/sandbox/engine.h"

#include <cstdint>
#include <string>

#include "absl/strings/str_cat.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/boot/control_registers.h"
#include "libvmm/boot/page_tables.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/cpuid_registers.h"
#include "libvmm/kvm/xsave_cpuid.h"
#include "libvmm/memory/memory_region.h"
#include "libvmm/sandbox/cell.h"
#include "libvmm/sandbox/runtime/runtime_code.h"
#include "libvmm/sandbox/runtime/runtime_layout.h"

namespace libvmm::sandbox {

struct Engine::Facts {
  Kvm kvm;
  Cpuid cpuid;
  RuntimeCpu cpu;
  SyscallEntry entry = SyscallEntry::kRing0;
};

namespace {

// State components that are carried from one sandbox state to another: all that
// XSAVE knows up to AVX-512.
constexpr uint32_t kComponents =
    cpuid::XcrBase::kMask | cpuid::XcrAvx::kMask | cpuid::XcrAvx512::kMask;

Cpuid ProgramCpuid(const Cpuid& supported) {
  Cpuid cpuid = supported;
  LimitXsave(cpuid, kComponents);
  const CpuidLeaf version{.function = cpuid::kVersion};
  cpuid.ClearBits(version, CpuidRegister::kEcx,
                  cpuid::Monitor::kMask | cpuid::Vmx::kMask |
                      cpuid::X2Apic::kMask | cpuid::TscDeadline::kMask |
                      cpuid::Pdcm::kMask);
  cpuid.ClearBits({.function = cpuid::kExtendedFeatures}, CpuidRegister::kEcx,
                  cpuid::Svm::kMask);
  for (const uint32_t leaf :
       {cpuid::kMonitor, cpuid::kPerfmon, cpuid::kTiles, cpuid::kTileMultiply,
        cpuid::kPerfmonExtended, cpuid::kHypervisor, cpuid::kKvmFeatures,
        cpuid::kSvm, cpuid::kInstructionBased, cpuid::kAmdPerfmon}) {
    cpuid.RemoveFunction(leaf);
  }
  return cpuid;
}

constexpr uint64_t kProbeMemory = 128 << 10;
constexpr GpaRange kProbeTables{RuntimeLayout::kEnd,
                                kProbeMemory - RuntimeLayout::kEnd.value()};

// Runs one SYSCALL in ring 3, with the runtime for an entry in ring 0.
absl::StatusOr<SyscallEntry> Probe(const Kvm& kvm, const Cpuid& cpuid,
                                   const RuntimeCpu& cpu) {
  LIBVMM_ASSIGN_OR_RETURN(MemoryRegion memory,
                          MemoryRegion::Anonymous({.size = kProbeMemory}));
  LIBVMM_ASSIGN_OR_RETURN(
      Cell cell,
      Cell::Create({kvm, cpuid, cpu, SyscallEntry::kRing0}, std::move(memory)));
  LIBVMM_ASSIGN_OR_RETURN(PageTables tables,
                          PageTables::Create({.space = kProbeTables}));
  for (const PageMapping& mapping : RuntimeMappings(kProbeMemory)) {
    LIBVMM_RETURN_IF_ERROR(tables.Map(mapping));
  }
  LIBVMM_RETURN_IF_ERROR(tables.Write(cell.memory()));
  if (!WriteRuntime(cell.memory(), SyscallEntry::kRing0)) {
    return absl::InternalError("the probe's memory is too small");
  }
  Vcpu& vcpu = cell.vcpu();
  LIBVMM_ASSIGN_OR_RETURN(kvm_sregs* const sregs,
                          vcpu.MutableSpecialRegisters());
  SetRuntimeRegisters(cpu, tables.root(), *sregs);
  kvm_regs regs{};
  regs.rip = RuntimeCode::probe().value();
  regs.rflags = RflagsReserved::kMask;
  LIBVMM_RETURN_IF_ERROR(vcpu.SetRegisters(regs));
  // Signals may come between.
  constexpr int kAttempts = 1000;
  for (int i = 0; i < kAttempts; ++i) {
    LIBVMM_ASSIGN_OR_RETURN(const Exit exit, vcpu.Run());
    if (exit.reason() == ExitReason::kInterrupted) continue;
    if (exit.reason() == ExitReason::kRetry) {
      return absl::UnavailableError("ioctl(KVM_RUN): EAGAIN, in the probe");
    }
    if (exit.reason() == ExitReason::kPio) {
      switch (exit.pio().port) {
        case RuntimeLayout::kSyscallPort:
          return SyscallEntry::kRing0;
        case RuntimeLayout::kTrapPort: {
          // Ring 3 may not execute the page that SYSCALL led to.
          LIBVMM_ASSIGN_OR_RETURN(const kvm_sregs* const now,
                                  vcpu.SpecialRegisters());
          if (now->cr2 == RuntimeCode::kernel_syscall().value()) {
            return SyscallEntry::kRing3;
          }
          break;
        }
      }
    }
    return absl::UnimplementedError(
        absl::StrCat("this KVM does not run a SYSCALL of ring 3: exit ",
                     ExitReasonName(exit.reason())));
  }
  return absl::UnavailableError("the probe of SYSCALL was interrupted");
}

}  // namespace

absl::StatusOr<Engine> Engine::Create(Kvm kvm) {
  LIBVMM_ASSIGN_OR_RETURN(const Cpuid* const supported, kvm.SupportedCpuid());
  Cpuid cpuid = ProgramCpuid(*supported);
  const RuntimeCpu cpu = RuntimeCpu::From(cpuid);
  LIBVMM_ASSIGN_OR_RETURN(const SyscallEntry entry, Probe(kvm, cpuid, cpu));
  return Engine(std::make_shared<const Facts>(
      Facts{std::move(kvm), std::move(cpuid), cpu, entry}));
}

absl::StatusOr<Engine> Engine::Open() {
  LIBVMM_ASSIGN_OR_RETURN(Kvm kvm, Kvm::Open());
  return Create(std::move(kvm));
}

const Kvm& Engine::kvm() const { return facts_->kvm; }
const Cpuid& Engine::cpuid() const { return facts_->cpuid; }
const RuntimeCpu& Engine::cpu() const { return facts_->cpu; }
SyscallEntry Engine::syscall_entry() const { return facts_->entry; }

}  // namespace libvmm::sandbox
