// SPDX-License-Identifier: Apache-2.0
#include "libvmm/testing/kernel_guest.h"

#include <signal.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "libvmm/base/check.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/boot/control_registers.h"
#include "libvmm/boot/gdt.h"
#include "libvmm/boot/interrupt_gate.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/vcpu_cpuid.h"
#include "libvmm/kvm/vcpu_state.h"
#include "libvmm/kvm/vcpu_thread.h"

namespace libvmm::testing {
namespace {

constexpr int kSignal = SIGUSR1;
constexpr absl::Duration kPatience = absl::Minutes(1);

// As in guest_code.h.
constexpr uint64_t kCounters = 0x30000;
constexpr uint64_t kActions = 0x31000;
constexpr uint64_t kStubs = 0x38000;

constexpr uint64_t kStubSize = 16;
constexpr uint64_t kIdt = 0x3a000;
constexpr uint64_t kStacks = 0x40000;  // two of each vCPU
constexpr uint64_t kStackSize = 0x2000;
constexpr uint64_t kTables = 0x100000;
constexpr uint64_t kTablesSize = 0x20000;  // of each vCPU
// In the task-state segment, which stands 0x80 behind the start of the tables.
constexpr uint64_t kRsp0 = 0x80 + 4;

constexpr uint64_t kLocalApic = 0xfee00000;
constexpr uint64_t kIoapic = 0xfec00000;
constexpr size_t kSpuriousVectorRegister = 0xf0;

// The 256 entries push what the CPU did not, so that every handler finds vector
// and error code, and go on in common.
LIBVMM_GUEST_CODE(kTrapStubs, 64, R"(
  .set vector, 0
  .rept 256
    .balign 16
    # The CPU pushes an error code for vectors 8, 10 to 14, 17, 21, 29 and 30.
    .if (vector < 32) && ((0x60227d00 >> (vector & 31)) & 1)
    .else
      push $0
    .endif
    push $vector
    jmp common
    .set vector, vector + 1
  .endr

  .balign 16
common:
  push %rax
  push %rbx
  push %rcx
  push %rdx
  mov 32(%rsp), %rbx
  lock incq COUNTERS(, %rbx, 8)
  movzbl ACTIONS(%rbx), %ecx
  test $1, %cl
  jz 1f
  # Report: an entry of the log, whose address the host finds in RDX.
  mov $1, %eax
  lock xadd %rax, TRAP_COUNT
  and $63, %eax
  shl $7, %eax
  lea TRAPS(%rax), %rdx
  mov %rbx, (%rdx)
  mov 40(%rsp), %rax
  mov %rax, 8(%rdx)        # error code
  mov 48(%rsp), %rax
  mov %rax, 16(%rdx)       # RIP
  mov 56(%rsp), %rax
  mov %rax, 24(%rdx)       # CS
  mov 64(%rsp), %rax
  mov %rax, 32(%rdx)       # RFLAGS
  mov 72(%rsp), %rax
  mov %rax, 40(%rdx)       # RSP
  mov 80(%rsp), %rax
  mov %rax, 48(%rdx)       # SS
  mov %cr2, %rax
  mov %rax, 56(%rdx)
  lea 32(%rsp), %rax
  mov %rax, 64(%rdx)
  mov %ebx, %eax
  out %al, $0xf5
1:
  test $2, %cl
  jz 1f
  mov $0xfee000b0, %eax
  movl $0, (%rax)
1:
  test $4, %cl
  jz 1f
  push %rcx
  mov $0x80b, %ecx
  xor %eax, %eax
  xor %edx, %edx
  wrmsr
  pop %rcx
1:
  test $8, %cl
  jz 1f
  mov $0x20, %al
  out %al, $0x20
1:
  pop %rdx
  pop %rcx
  pop %rbx
  pop %rax
  add $16, %rsp
  iretq
)");

LIBVMM_GUEST_CODE(kInterruptItself, 64, R"(
  int $0x40
  hlt
)");

}  // namespace

absl::StatusOr<std::unique_ptr<KernelGuest>> KernelGuest::Create(
    const Options& options) {
  LIBVMM_RETURN_IF_ERROR(VcpuThread::InstallKickHandler(kSignal));
  LIBVMM_ASSIGN_OR_RETURN(TestVm test, TestVm::Create());
  std::unique_ptr<KernelGuest> guest(new KernelGuest(std::move(test)));
  guest->edit_cpuid_ = options.edit_cpuid;
  guest->mappings_ = options.mappings;
  if (options.controller != Controller::kNone) {
    LIBVMM_ASSIGN_OR_RETURN(IrqChip chip,
                            options.controller == Controller::kFull
                                ? IrqChip::CreateFull(guest->vm())
                                : IrqChip::CreateSplit(guest->vm()));
    guest->irqchip_.emplace(std::move(chip));
  }
  LIBVMM_RETURN_IF_ERROR(guest->FillMemory());
  return guest;
}

absl::Status KernelGuest::FillMemory() {
  LIBVMM_RETURN_IF_ERROR(test_.AddRam(Gpa(0), kMemorySize));
  Put(kStubs, kTrapStubs);
  for (unsigned vector = 0; vector < 256; ++vector) {
    OnTrap(static_cast<uint8_t>(vector), kReport);
  }
  const PageAccess open{.writable = true, .executable = true, .user = true};
  const PageAccess kernel{.writable = true, .executable = true};
  const GpaRange ram{Gpa(0), kMemorySize};
  mappings_.push_back(IdentityMapping(ram, open));
  mappings_.push_back({.gva = Gva(kKernelHalf),
                       .gpa = ram.start,
                       .size = ram.size,
                       .access = kernel});
  for (const uint64_t page : {kLocalApic, kIoapic, kHole}) {
    mappings_.push_back(
        IdentityMapping({Gpa(page), 0x1000}, {.writable = true}));
  }
  return absl::OkStatus();
}

void KernelGuest::Put(uint64_t address, GuestCode code) {
  LIBVMM_CHECK(memory().Write(Gpa(address), std::as_bytes(code)));
}

uint64_t KernelGuest::Word(uint64_t address) const {
  const std::optional<uint64_t> word =
      const_cast<TestVm&>(test_).guest().Load<uint64_t>(Gpa(address));
  LIBVMM_CHECK(word.has_value());
  return *word;
}

void KernelGuest::SetWord(uint64_t address, uint64_t value) {
  LIBVMM_CHECK(memory().Store<uint64_t>(Gpa(address), value));
}

void KernelGuest::OnTrap(uint8_t vector, unsigned actions,
                         Privilege callable_from) {
  LIBVMM_CHECK(memory().Store<uint8_t>(Gpa(kActions + vector),
                                       static_cast<uint8_t>(actions)));
  SetGate(vector, kStubs + vector * kStubSize, callable_from);
}

void KernelGuest::SetHandler(uint8_t vector, uint64_t address) {
  SetGate(vector, address, Privilege::kKernel);
}

void KernelGuest::SetGate(uint8_t vector, uint64_t address,
                          Privilege callable_from) {
  const uint64_t handler = kKernelHalf + address;
  const InterruptGate gate = InterruptGate::To(
      {.handler = Gva(handler),
       .selector = Gdt::kKernelCode64,
       .dpl = static_cast<uint8_t>(callable_from == Privilege::kUser ? 3 : 0)});
  LIBVMM_CHECK(memory().Write(Gpa(kIdt + vector * sizeof gate),
                              std::as_bytes(std::span(&gate, 1))));
}

uint64_t KernelGuest::TrapCount(uint8_t vector) const {
  return Word(kCounters + uint64_t{vector} * 8);
}

absl::StatusOr<Vcpu*> KernelGuest::AddVcpu(uint32_t id) {
  LIBVMM_CHECK(id < kMaxVcpus);
  LIBVMM_ASSIGN_OR_RETURN(Vcpu vcpu, Vcpu::Create(vm(), id));
  LIBVMM_ASSIGN_OR_RETURN(const Cpuid* const supported, kvm().SupportedCpuid());
  Cpuid cpuid = *supported;
  cpuid.SetApicId(id);
  if (edit_cpuid_) edit_cpuid_(cpuid);
  LIBVMM_RETURN_IF_ERROR(SetCpuid(vcpu, cpuid));
  vcpus_.push_back(std::make_unique<Vcpu>(std::move(vcpu)));
  return vcpus_.back().get();
}

uint64_t KernelGuest::StackTop(const Vcpu& vcpu) {
  return kStacks + kStackSize * (2 * vcpu.id() + 1);
}

uint64_t KernelGuest::Ring0StackTop(const Vcpu& vcpu) {
  return kStacks + kStackSize * (2 * vcpu.id() + 2);
}

absl::Status KernelGuest::Start(Vcpu& vcpu, const StartOptions& options) {
  const uint64_t tables = kTables + vcpu.id() * kTablesSize;
  LIBVMM_RETURN_IF_ERROR(EnterLongMode(vcpu, memory(),
                                       {.entry = Gva(options.entry),
                                        .stack_top = Gva(StackTop(vcpu)),
                                        .privilege = options.privilege,
                                        .tables = {Gpa(tables), kTablesSize},
                                        .mappings = mappings_}));
  // The kernel's half of the address space, as a kernel would have it.
  const uint64_t rsp0 = kKernelHalf + Ring0StackTop(vcpu);
  LIBVMM_CHECK(
      memory().Write(Gpa(tables + kRsp0), std::as_bytes(std::span(&rsp0, 1))));
  LIBVMM_ASSIGN_OR_RETURN(kvm_sregs* const sregs,
                          vcpu.MutableSpecialRegisters());
  sregs->idt.base = kKernelHalf + kIdt;
  sregs->idt.limit = 256 * sizeof(InterruptGate) - 1;
  LIBVMM_ASSIGN_OR_RETURN(kvm_regs* const regs, vcpu.MutableRegisters());
  if (options.interrupts) regs->rflags |= RflagsInterrupt::Of(1);
  if (!irqchip_) return absl::OkStatus();
  return SetVcpuState(vcpu, kvm_mp_state{.mp_state = KVM_MP_STATE_RUNNABLE});
}

absl::Status KernelGuest::EnableLocalApic(Vcpu& vcpu, ApicMode mode) {
  LIBVMM_ASSIGN_OR_RETURN(kvm_sregs* const sregs,
                          vcpu.MutableSpecialRegisters());
  if (mode == ApicMode::kX2apic) sregs->apic_base |= 0x400;
  LIBVMM_RETURN_IF_ERROR(vcpu.FlushRegisters());
  LIBVMM_ASSIGN_OR_RETURN(kvm_lapic_state apic,
                          GetVcpuState<kvm_lapic_state>(vcpu));
  const uint32_t enabled = 0x1ff;
  std::memcpy(&apic.regs[kSpuriousVectorRegister], &enabled, sizeof enabled);
  return SetVcpuState(vcpu, apic);
}

absl::StatusOr<Exit> KernelGuest::Run(Vcpu& vcpu) {
  LIBVMM_ASSIGN_OR_RETURN(VcpuThread thread, VcpuThread::Attach(kSignal));
  LIBVMM_ASSIGN_OR_RETURN(const Deadline deadline,
                          thread.StartDeadline({.after = kPatience}));
  while (true) {
    LIBVMM_ASSIGN_OR_RETURN(const Exit exit, thread.Run(vcpu));
    switch (exit.reason()) {
      case ExitReason::kInterrupted:
      case ExitReason::kRetry:
        continue;
      case ExitReason::kDeadline: {
        LIBVMM_ASSIGN_OR_RETURN(const kvm_regs* const regs, vcpu.Registers());
        return absl::DeadlineExceededError(
            absl::StrCat("vCPU ", vcpu.id(), " still runs, at rip 0x",
                         absl::Hex(regs->rip)));
      }
      case ExitReason::kPio:
        if (exit.pio().is_write && exit.pio().port == kWindowPort) continue;
        return exit;
      default:
        return exit;
    }
  }
}

absl::StatusOr<uint32_t> KernelGuest::RunToPort(Vcpu& vcpu, uint16_t port) {
  LIBVMM_ASSIGN_OR_RETURN(const Exit exit, Run(vcpu));
  if (exit.reason() == ExitReason::kPio && exit.pio().is_write &&
      exit.pio().port == port) {
    uint32_t value = 0;
    std::memcpy(&value, exit.pio().data.data(),
                std::min(exit.pio().data.size(), sizeof value));
    return value;
  }
  LIBVMM_ASSIGN_OR_RETURN(const kvm_regs* const regs, vcpu.Registers());
  std::string message =
      absl::StrCat(DescribeExit(exit), " at rip 0x", absl::Hex(regs->rip),
                   " instead of a write to port 0x", absl::Hex(port));
  if (exit.reason() == ExitReason::kPio && exit.pio().is_write &&
      exit.pio().port == kTrapPort) {
    absl::StrAppend(&message, "; trap ", Word(regs->rdx), ", error code 0x",
                    absl::Hex(Word(regs->rdx + 8)), ", at rip 0x",
                    absl::Hex(Word(regs->rdx + 16)), ", cr2 0x",
                    absl::Hex(Word(regs->rdx + 56)));
  }
  return absl::InternalError(message);
}

absl::Status KernelGuest::RunUntilHalted(Vcpu& vcpu) {
  LIBVMM_ASSIGN_OR_RETURN(VcpuThread thread, VcpuThread::Attach(kSignal));
  // A halted vCPU sleeps inside KVM_RUN: look at it now and then.
  constexpr absl::Duration kSlice = absl::Milliseconds(5);
  for (absl::Duration spent; spent < kPatience; spent += kSlice) {
    LIBVMM_ASSIGN_OR_RETURN(const Deadline slice,
                            thread.StartDeadline({.after = kSlice}));
    LIBVMM_ASSIGN_OR_RETURN(const Exit exit, thread.Run(vcpu));
    if (exit.reason() != ExitReason::kDeadline) {
      return absl::InternalError(
          absl::StrCat(DescribeExit(exit), " instead of HLT"));
    }
    LIBVMM_ASSIGN_OR_RETURN(const kvm_mp_state state,
                            GetVcpuState<kvm_mp_state>(vcpu));
    if (state.mp_state == KVM_MP_STATE_HALTED) return absl::OkStatus();
  }
  return absl::DeadlineExceededError("the vCPU does not halt");
}

absl::StatusOr<KernelGuest::Trap> KernelGuest::RunToTrap(Vcpu& vcpu) {
  LIBVMM_RETURN_IF_ERROR(RunToPort(vcpu, kTrapPort).status());
  LIBVMM_ASSIGN_OR_RETURN(const kvm_regs* const regs, vcpu.Registers());
  const uint64_t entry = regs->rdx;
  return Trap{.vector = Word(entry),
              .error_code = Word(entry + 8),
              .rip = Word(entry + 16),
              .cs = Word(entry + 24),
              .rflags = Word(entry + 32),
              .rsp = Word(entry + 40),
              .ss = Word(entry + 48),
              .cr2 = Word(entry + 56),
              .frame = Word(entry + 64)};
}

void KernelGuest::ReturnTo(const Trap& trap, uint64_t rip) {
  const uint64_t frame =
      trap.frame >= kKernelHalf ? trap.frame - kKernelHalf : trap.frame;
  SetWord(frame + 16, rip);
}

absl::StatusOr<bool> EmulatesKernelMode() {
  LIBVMM_ASSIGN_OR_RETURN(std::unique_ptr<KernelGuest> guest,
                          KernelGuest::Create({}));
  guest->Put(KernelGuest::kCode, kInterruptItself);
  LIBVMM_ASSIGN_OR_RETURN(Vcpu* const vcpu, guest->AddVcpu(0));
  LIBVMM_RETURN_IF_ERROR(guest->Start(*vcpu));
  LIBVMM_ASSIGN_OR_RETURN(const Exit exit, guest->Run(*vcpu));
  return exit.reason() == ExitReason::kInternalError;
}

std::string DescribeExit(const Exit& exit) {
  std::string text(ExitReasonName(exit.reason()));
  switch (exit.reason()) {
    case ExitReason::kPio:
      absl::StrAppend(&text, exit.pio().is_write ? " out" : " in", " 0x",
                      absl::Hex(exit.pio().port));
      break;
    case ExitReason::kMmio:
      absl::StrAppend(&text, exit.mmio().is_write ? " write" : " read", " 0x",
                      absl::Hex(exit.mmio().gpa.value()));
      break;
    case ExitReason::kInternalError:
      absl::StrAppend(&text, " ", exit.internal_error().suberror);
      for (const std::byte byte : exit.internal_error().instruction) {
        absl::StrAppend(&text, " ",
                        absl::Hex(static_cast<uint8_t>(byte), absl::kZeroPad2));
      }
      break;
    default:
      break;
  }
  return text;
}

}  // namespace libvmm::testing
