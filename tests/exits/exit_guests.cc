// SPDX-License-Identifier: Apache-2.0
#include "tests/exits/exit_guests.h"

#include <signal.h>
#include <sys/mman.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "libvmm/base/errno_status.h"
#include "libvmm/base/mapping.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/capability.h"
#include "libvmm/kvm/cpuid.h"
#include "libvmm/kvm/dirty_ring.h"
#include "libvmm/kvm/exit.h"
#include "libvmm/kvm/guest_debug.h"
#include "libvmm/kvm/irq_routing.h"
#include "libvmm/kvm/irqchip.h"
#include "libvmm/kvm/memory_slot.h"
#include "libvmm/kvm/msr_filter.h"
#include "libvmm/kvm/signal_mask.h"
#include "libvmm/kvm/tpr.h"
#include "libvmm/kvm/vm_capabilities.h"
#include "libvmm/kvm/xen.h"
#include "libvmm/memory/memory_region.h"
#include "tests/exits/exit_machine.h"

namespace libvmm::testing {
namespace {

constexpr uint64_t kEntry = ExitMachine::kEntry;

absl::StatusOr<ExitMachine> RealMachine(std::initializer_list<uint8_t> code) {
  LIBVMM_ASSIGN_OR_RETURN(ExitMachine machine, ExitMachine::Create());
  LIBVMM_RETURN_IF_ERROR(machine.Put(kEntry, code));
  LIBVMM_RETURN_IF_ERROR(machine.StartReal());
  return machine;
}

absl::StatusOr<ExitMachine> LongMachine(std::initializer_list<uint8_t> code) {
  LIBVMM_ASSIGN_OR_RETURN(ExitMachine machine, ExitMachine::Create());
  LIBVMM_RETURN_IF_ERROR(machine.Put(kEntry, code));
  LIBVMM_RETURN_IF_ERROR(machine.StartLong());
  return machine;
}

absl::StatusOr<uint64_t> Rip(ExitMachine& machine) {
  LIBVMM_ASSIGN_OR_RETURN(const kvm_regs* regs, machine.vcpu().Registers());
  return regs->rip;
}

}  // namespace

absl::Status ExitByPio() {
  LIBVMM_ASSIGN_OR_RETURN(ExitMachine machine,
                          RealMachine({0xb0, 0x5a,  // mov al, 0x5a
                                       0xe6, 0x60,  // out 0x60, al
                                       0xe5, 0x70,  // in ax, 0x70
                                       0xe7, 0x71,  // out 0x71, ax
                                       0xf4}));     // hlt
  LIBVMM_ASSIGN_OR_RETURN(Exit exit, machine.RunTo(ExitReason::kPio));
  PioExit pio = exit.pio();
  LIBVMM_RETURN_IF_ERROR(IsRight(
      pio.is_write && pio.port == 0x60 && pio.size == 1 && pio.count == 1 &&
          pio.data.size() == 1 && pio.data[0] == std::byte{0x5a},
      "out 0x60, al"));
  LIBVMM_ASSIGN_OR_RETURN(exit, machine.RunTo(ExitReason::kPio));
  pio = exit.pio();
  LIBVMM_RETURN_IF_ERROR(IsRight(!pio.is_write && pio.port == 0x70 &&
                                     pio.size == 2 && pio.count == 1 &&
                                     pio.data.size() == 2,
                                 "in ax, 0x70"));
  pio.data[0] = std::byte{0x34};
  pio.data[1] = std::byte{0x12};
  LIBVMM_ASSIGN_OR_RETURN(exit, machine.RunTo(ExitReason::kPio));
  pio = exit.pio();
  return IsRight(pio.is_write && pio.port == 0x71 &&
                     pio.data[0] == std::byte{0x34} &&
                     pio.data[1] == std::byte{0x12},
                 "what was read is written");
}

absl::Status ExitByHalt() {
  LIBVMM_ASSIGN_OR_RETURN(ExitMachine machine, RealMachine({0xf4}));  // hlt
  LIBVMM_RETURN_IF_ERROR(machine.RunTo(ExitReason::kHalt).status());
  LIBVMM_ASSIGN_OR_RETURN(const uint64_t rip, Rip(machine));
  return IsRight(rip == kEntry + 1, "RIP is past the hlt");
}

absl::Status ExitByMmio() {
  LIBVMM_ASSIGN_OR_RETURN(ExitMachine machine,
                          LongMachine({
                              0xbb, 0x10, 0x00, 0x50, 0x00,  // mov ebx, 5M+16
                              0xb8, 0x78, 0x56, 0x34, 0x12,  // mov eax, ...
                              0x89, 0x03,                    // mov [rbx], eax
                              0x8a, 0x43, 0x04,              // mov al, [rbx+4]
                              0xf4,                          // hlt
                          }));
  LIBVMM_ASSIGN_OR_RETURN(Exit exit, machine.RunTo(ExitReason::kMmio));
  MmioExit mmio = exit.mmio();
  LIBVMM_RETURN_IF_ERROR(IsRight(
      mmio.is_write && mmio.gpa == Gpa(0x500010) && mmio.data.size() == 4 &&
          mmio.data[0] == std::byte{0x78} && mmio.data[3] == std::byte{0x12},
      "mov [rbx], eax"));
  LIBVMM_ASSIGN_OR_RETURN(exit, machine.RunTo(ExitReason::kMmio));
  mmio = exit.mmio();
  LIBVMM_RETURN_IF_ERROR(IsRight(
      !mmio.is_write && mmio.gpa == Gpa(0x500014) && mmio.data.size() == 1,
      "mov al, [rbx+4]"));
  mmio.data[0] = std::byte{0x99};
  LIBVMM_RETURN_IF_ERROR(machine.RunTo(ExitReason::kHalt).status());
  LIBVMM_ASSIGN_OR_RETURN(const kvm_regs* regs, machine.vcpu().Registers());
  return IsRight((regs->rax & 0xff) == 0x99, "AL is what was read");
}

absl::Status ExitByDebug() {
  LIBVMM_ASSIGN_OR_RETURN(ExitMachine machine,
                          RealMachine({0x90,     // nop
                                       0x90,     // nop
                                       0xf4}));  // hlt
  LIBVMM_RETURN_IF_ERROR(
      SetGuestDebug(machine.vcpu(), GuestDebug{.single_step = true}));
  LIBVMM_ASSIGN_OR_RETURN(const Exit exit, machine.RunTo(ExitReason::kDebug));
  constexpr uint32_t kDebugVector = 1;
  constexpr uint64_t kDr6SingleStep = 1 << 14;
  return IsRight(exit.debug().exception == kDebugVector &&
                     exit.debug().pc == kEntry + 1 &&
                     (exit.debug().dr6 & kDr6SingleStep) != 0,
                 "one instruction was stepped");
}

absl::Status ExitByInterruptWindow() {
  LIBVMM_ASSIGN_OR_RETURN(ExitMachine machine,
                          RealMachine({0xfb,           // sti
                                       0x90,           // nop
                                       0xeb, 0xfe}));  // jmp to itself
  LIBVMM_ASSIGN_OR_RETURN(kvm_run * page, machine.vcpu().run_page());
  page->request_interrupt_window = 1;
  LIBVMM_ASSIGN_OR_RETURN(const Exit exit,
                          machine.RunTo(ExitReason::kInterruptWindow));
  return IsRight(exit.ready_for_interrupt() && exit.interrupt_flag(),
                 "an interrupt can be queued");
}

absl::Status ExitByShutdown() {
  // A page fault without an IDT, at an address without a page.
  LIBVMM_ASSIGN_OR_RETURN(
      ExitMachine machine,
      LongMachine({0xbb, 0x00, 0x00, 0x00, 0x70,  // mov ebx, 0x70000000
                   0x88, 0x03,                    // mov [rbx], al
                   0xf4}));                       // hlt
  return machine.RunTo(ExitReason::kShutdown).status();
}

absl::Status ExitByFailEntry() {
  LIBVMM_ASSIGN_OR_RETURN(ExitMachine machine, LongMachine({0xf4}));  // hlt
  // CS with both L and D set, in long mode, is an illegal state of the guest
  // (AMD APM volume 2, 15.5.1), which KVM does not look for.
  LIBVMM_ASSIGN_OR_RETURN(kvm_sregs * sregs,
                          machine.vcpu().MutableSpecialRegisters());
  sregs->cs.db = 1;
  const absl::StatusOr<Exit> exit = machine.RunTo(ExitReason::kFailEntry);
  if (absl::IsInvalidArgument(exit.status())) {
    return absl::UnimplementedError("this KVM refuses the state itself");
  }
  LIBVMM_RETURN_IF_ERROR(exit.status());
  // VMEXIT_INVALID is -1.
  return IsRight(exit->fail_entry().hardware_reason == 0xffffffff ||
                     exit->fail_entry().hardware_reason == ~uint64_t{0},
                 "the hardware calls the state invalid");
}

absl::Status ExitBySignal() {
  LIBVMM_ASSIGN_OR_RETURN(ExitMachine machine,
                          RealMachine({0xeb, 0xfe}));  // jmp to itself
  // Pending before KVM_RUN, which alone lets it through: no race.
  struct sigaction action = {};
  action.sa_handler = [](int) {};
  ::sigaction(SIGUSR2, &action, nullptr);
  sigset_t blocked;
  ::sigemptyset(&blocked);
  ::sigaddset(&blocked, SIGUSR2);
  sigset_t before;
  ::pthread_sigmask(SIG_BLOCK, &blocked, &before);
  ::raise(SIGUSR2);
  sigset_t none;
  ::sigemptyset(&none);
  absl::StatusOr<Exit> exit = absl::UnknownError("not run");
  absl::Status status = SetRunSignalMask(machine.vcpu(), none);
  if (status.ok()) exit = machine.vcpu().Run();
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  LIBVMM_RETURN_IF_ERROR(status);
  LIBVMM_RETURN_IF_ERROR(exit.status());
  return IsRight(exit->reason() == ExitReason::kInterrupted &&
                     exit->raw().exit_reason == KVM_EXIT_INTR,
                 "kInterrupted, KVM_EXIT_INTR in the page");
}

absl::Status ExitBySetTpr() {
  LIBVMM_ASSIGN_OR_RETURN(
      ExitMachine machine,
      LongMachine({0xb8, 0x05, 0x00, 0x00, 0x00,  // mov eax, 5
                   0x44, 0x0f, 0x22, 0xc0,        // mov cr8, rax
                   0xb8, 0x02, 0x00, 0x00, 0x00,  // mov eax, 2
                   0x44, 0x0f, 0x22, 0xc0,        // mov cr8, rax
                   0xf4}));                       // hlt
  LIBVMM_ASSIGN_OR_RETURN(const Exit exit, machine.RunTo(ExitReason::kSetTpr));
  // Only lowering it exits.
  return IsRight(exit.cr8() == 2, "CR8 is 2");
}

absl::Status ExitByTprAccess() {
  LIBVMM_ASSIGN_OR_RETURN(ExitMachine machine, ExitMachine::Create());
  LIBVMM_RETURN_IF_ERROR(IrqChip::CreateFull(machine.vm()).status());
  LIBVMM_RETURN_IF_ERROR(
      machine.Put(kEntry, {0xbb, 0x80, 0x00, 0xe0, 0xfe,  // mov ebx, TPR
                           0x89, 0x03,                    // mov [rbx], eax
                           0xeb, 0xfe}));                 // jmp to itself
  LIBVMM_RETURN_IF_ERROR(machine.StartLong());
  LIBVMM_RETURN_IF_ERROR(SetTprAccessReporting(machine.vcpu(), true));
  LIBVMM_ASSIGN_OR_RETURN(const Exit exit,
                          machine.RunTo(ExitReason::kTprAccess));
  // KVM reports before or after it has moved RIP.
  const uint64_t rip = exit.tpr_access().rip.value();
  return IsRight(
      exit.tpr_access().is_write && rip >= kEntry + 5 && rip <= kEntry + 7,
      "a write by the instruction at kEntry + 5");
}

absl::Status ExitByInternalError() {
  LIBVMM_ASSIGN_OR_RETURN(
      ExitMachine machine,
      LongMachine({0xbb, 0x00, 0x00, 0x50, 0x00,  // mov ebx, 5M
                   // An access to MMIO has to be emulated, and no KVM's
                   // emulator knows this one.
                   0xd9, 0x33,  // fnstenv [rbx]
                   0xf4}));     // hlt
  LIBVMM_ASSIGN_OR_RETURN(const Exit exit,
                          machine.RunTo(ExitReason::kInternalError));
  return IsRight(exit.internal_error().suberror == KVM_INTERNAL_ERROR_EMULATION,
                 "suberror 1: emulation failure");
}

absl::Status ExitByHypercall() {
  LIBVMM_ASSIGN_OR_RETURN(ExitMachine machine, ExitMachine::Create());
  constexpr uint64_t kMapGpaRange = 12;  // KVM_HC_MAP_GPA_RANGE
  LIBVMM_RETURN_IF_ERROR(
      SetHypercallExits(machine.vm(), uint64_t{1} << kMapGpaRange));
  LIBVMM_RETURN_IF_ERROR(
      machine.Put(kEntry, {0xb8, 0x0c, 0x00, 0x00, 0x00,  // mov eax, 12
                           0xbb, 0x00, 0x10, 0x00, 0x00,  // mov ebx, 0x1000
                           0xb9, 0x03, 0x00, 0x00, 0x00,  // mov ecx, 3
                           0xba, 0x10, 0x00, 0x00, 0x00,  // mov edx, 0x10
                           0x0f, 0x01, 0xd9,              // vmmcall
                           0xf4}));                       // hlt
  LIBVMM_RETURN_IF_ERROR(machine.StartLong());
  LIBVMM_ASSIGN_OR_RETURN(const Exit exit,
                          machine.RunTo(ExitReason::kHypercall));
  const HypercallExit call = exit.hypercall();
  LIBVMM_RETURN_IF_ERROR(
      IsRight(call.number == kMapGpaRange && call.arguments[0] == 0x1000 &&
                  call.arguments[1] == 3 && call.arguments[2] == 0x10,
              "the call and its arguments"));
  exit.CompleteHypercall(77);
  LIBVMM_RETURN_IF_ERROR(machine.RunTo(ExitReason::kHalt).status());
  LIBVMM_ASSIGN_OR_RETURN(const kvm_regs* regs, machine.vcpu().Registers());
  return IsRight(regs->rax == 77, "RAX is the result");
}

namespace {

// What KVM supports, and the leaves by which a guest finds Hyper-V.
absl::StatusOr<Cpuid> WithHyperV(const Kvm& kvm) {
  LIBVMM_ASSIGN_OR_RETURN(const Cpuid* supported, kvm.SupportedCpuid());
  LIBVMM_ASSIGN_OR_RETURN(const Cpuid hyperv, Cpuid::QueryHyperV(kvm.fd()));
  Cpuid both = *supported;
  // KVM's own signature stands where Hyper-V's has to.
  for (const kvm_cpuid_entry2& entry : hyperv.entries()) {
    both.RemoveFunction(entry.function);
  }
  for (const kvm_cpuid_entry2& entry : hyperv.entries()) both.Set(entry);
  return both;
}

}  // namespace

absl::Status ExitBySystemEvent() {
  LIBVMM_ASSIGN_OR_RETURN(ExitMachine machine, ExitMachine::Create());
  LIBVMM_ASSIGN_OR_RETURN(const Cpuid cpuid, WithHyperV(machine.kvm()));
  LIBVMM_RETURN_IF_ERROR(machine.Put(
      kEntry, {
                  // HV_X64_MSR_CRASH_CTL, bit 63: the guest has crashed.
                  0x66, 0xb9, 0x05, 0x01, 0x00, 0x40,  // mov ecx, 0x40000105
                  0x66, 0x31, 0xc0,                    // xor eax, eax
                  0x66, 0xba, 0x00, 0x00, 0x00, 0x80,  // mov edx, 0x80000000
                  0x0f, 0x30,                          // wrmsr
                  0xf4,                                // hlt
              }));
  LIBVMM_RETURN_IF_ERROR(machine.StartReal(&cpuid));
  LIBVMM_ASSIGN_OR_RETURN(const Exit exit,
                          machine.RunTo(ExitReason::kSystemEvent));
  return IsRight(exit.system_event().type == KVM_SYSTEM_EVENT_CRASH,
                 "type 3: crash");
}

absl::Status ExitByHyperV() {
  LIBVMM_ASSIGN_OR_RETURN(ExitMachine machine, ExitMachine::Create());
  LIBVMM_ASSIGN_OR_RETURN(const Cpuid cpuid, WithHyperV(machine.kvm()));
  constexpr Capability kSynic = LIBVMM_CAPABILITY(KVM_CAP_HYPERV_SYNIC);
  LIBVMM_RETURN_IF_ERROR(RequireCapability(machine.vm().fd(), kSynic).status());
  LIBVMM_RETURN_IF_ERROR(IrqChip::CreateFull(machine.vm()).status());
  LIBVMM_RETURN_IF_ERROR(machine.Put(
      kEntry, {
                  0x66, 0xb9, 0x80, 0x00, 0x00, 0x40,  // mov ecx, SCONTROL
                  0x66, 0xb8, 0x01, 0x00, 0x00, 0x00,  // mov eax, 1
                  0x66, 0x31, 0xd2,                    // xor edx, edx
                  0x0f, 0x30,                          // wrmsr
                  0xe6, 0x60,                          // out 0x60, al
              }));
  LIBVMM_RETURN_IF_ERROR(machine.StartReal(&cpuid));
  LIBVMM_RETURN_IF_ERROR(EnableCapability(machine.vcpu().fd(), kSynic, {}));
  LIBVMM_ASSIGN_OR_RETURN(const Exit exit, machine.RunTo(ExitReason::kHyperV));
  const kvm_hyperv_exit& hyperv = exit.hyperv();
  return IsRight(hyperv.type == KVM_EXIT_HYPERV_SYNIC &&
                     hyperv.u.synic.msr == 0x40000080 &&
                     hyperv.u.synic.control == 1,
                 "SCONTROL was set to 1");
}

absl::Status ExitByXen() {
  LIBVMM_ASSIGN_OR_RETURN(ExitMachine machine, ExitMachine::Create());
  kvm_xen_hvm_config config = {};
  config.flags = KVM_XEN_HVM_CONFIG_INTERCEPT_HCALL;
  config.msr = 0x40000200;
  LIBVMM_RETURN_IF_ERROR(ConfigureXen(machine.vm(), config));
  LIBVMM_RETURN_IF_ERROR(
      machine.Put(kEntry, {0xb8, 0x22, 0x00, 0x00, 0x00,  // mov eax, 0x22
                           0xbf, 0x07, 0x00, 0x00, 0x00,  // mov edi, 7
                           0x0f, 0x01, 0xd9,              // vmmcall
                           0xf4}));                       // hlt
  LIBVMM_RETURN_IF_ERROR(machine.StartLong());
  LIBVMM_ASSIGN_OR_RETURN(const Exit exit, machine.RunTo(ExitReason::kXen));
  kvm_xen_exit& xen = exit.xen();
  LIBVMM_RETURN_IF_ERROR(
      IsRight(xen.type == KVM_EXIT_XEN_HCALL && xen.u.hcall.input == 0x22 &&
                  xen.u.hcall.params[0] == 7 && xen.u.hcall.longmode == 1 &&
                  xen.u.hcall.cpl == 0,
              "the call and its first parameter"));
  xen.u.hcall.result = 99;
  LIBVMM_RETURN_IF_ERROR(machine.RunTo(ExitReason::kHalt).status());
  LIBVMM_ASSIGN_OR_RETURN(const kvm_regs* regs, machine.vcpu().Registers());
  return IsRight(regs->rax == 99, "RAX is the result");
}

absl::Status ExitByIoapicEoi() {
  LIBVMM_ASSIGN_OR_RETURN(ExitMachine machine, ExitMachine::Create());
  LIBVMM_ASSIGN_OR_RETURN(const IrqChip chip,
                          IrqChip::CreateSplit(machine.vm()));
  // Vector 0x50, asserted, level triggered (Intel SDM volume 3, 11.11.2): the
  // EOI of such a vector belongs to the IOAPIC, which is not in the kernel.
  constexpr uint8_t kVector = 0x50;
  const Msi msi = {.address = 0xfee00000, .data = 0xc000 | kVector};
  LIBVMM_ASSIGN_OR_RETURN(IrqRouting routing, IrqRouting::Create(machine.vm()));
  LIBVMM_RETURN_IF_ERROR(routing.SetMsi(10, msi));
  LIBVMM_RETURN_IF_ERROR(
      machine.Put(kEntry, {
                              0xbb, 0x00, 0x00, 0xe0, 0xfe,  // mov ebx, APIC
                              0xc7, 0x83, 0xf0, 0x00, 0x00, 0x00,  // mov dword
                              0xff, 0x01, 0x00, 0x00,  //   [SVR], 0x1ff
                              0xe6, 0x60,              // out 0x60, al
                              0xfb,                    // sti
                              0xf4,                    // hlt
                              0xeb, 0xfd,              // jmp to the hlt
                          }));
  constexpr uint8_t kHandler = 0x11;  // times 0x100
  LIBVMM_RETURN_IF_ERROR(machine.Put(
      kHandler << 8, {
                         0xc7, 0x83, 0xb0, 0x00, 0x00, 0x00,  // mov dword
                         0x00, 0x00, 0x00, 0x00,              //   [EOI], 0
                         0xe6, 0x61,                          // out 0x61, al
                         0x48, 0xcf,                          // iretq
                     }));
  LIBVMM_RETURN_IF_ERROR(machine.StartLong());
  LIBVMM_ASSIGN_OR_RETURN(kvm_sregs * sregs,
                          machine.vcpu().MutableSpecialRegisters());
  // An IDT with one gate: an interrupt gate of privilege level 0.
  constexpr uint64_t kIdt = 0x9000;
  sregs->idt = {.base = kIdt, .limit = 0xfff, .padding = {}};
  LIBVMM_RETURN_IF_ERROR(machine.Put(
      kIdt + kVector * 16,
      {0x00, kHandler, static_cast<uint8_t>(sregs->cs.selector), 0, 0, 0x8e}));
  LIBVMM_RETURN_IF_ERROR(machine.RunTo(ExitReason::kPio).status());
  LIBVMM_RETURN_IF_ERROR(routing.Commit());
  LIBVMM_ASSIGN_OR_RETURN(const MsiDelivery sent, chip.SignalMsi(msi));
  LIBVMM_RETURN_IF_ERROR(
      IsRight(sent == MsiDelivery::kDelivered, "the MSI is delivered"));
  LIBVMM_ASSIGN_OR_RETURN(const Exit exit,
                          machine.RunTo(ExitReason::kIoapicEoi));
  return IsRight(exit.eoi_vector() == kVector, "the vector");
}

namespace {

constexpr uint32_t kTscMsr = 0x10;

absl::StatusOr<ExitMachine> FilteredMachine(
    std::initializer_list<uint8_t> code) {
  LIBVMM_ASSIGN_OR_RETURN(ExitMachine machine, ExitMachine::Create());
  LIBVMM_RETURN_IF_ERROR(SetMsrExits(machine.vm(), KVM_MSR_EXIT_REASON_FILTER));
  LIBVMM_RETURN_IF_ERROR(SetMsrFilter(
      machine.vm(),
      {.ranges = {{.first_msr = kTscMsr, .count = 8, .allowed = {0}}}}));
  LIBVMM_RETURN_IF_ERROR(machine.Put(kEntry, code));
  LIBVMM_RETURN_IF_ERROR(machine.StartReal());
  return machine;
}

}  // namespace

absl::Status ExitByRdmsr() {
  LIBVMM_ASSIGN_OR_RETURN(
      ExitMachine machine,
      FilteredMachine({0x66, 0xb9, 0x10, 0x00, 0x00, 0x00,  // mov ecx, 0x10
                       0x0f, 0x32,                          // rdmsr
                       0xf4}));                             // hlt
  LIBVMM_ASSIGN_OR_RETURN(const Exit exit, machine.RunTo(ExitReason::kRdmsr));
  LIBVMM_RETURN_IF_ERROR(
      IsRight(exit.msr().index == kTscMsr &&
                  exit.msr().reason == KVM_MSR_EXIT_REASON_FILTER,
              "the filtered MSR"));
  exit.CompleteRdmsr(0x1122334455667788);
  LIBVMM_RETURN_IF_ERROR(machine.RunTo(ExitReason::kHalt).status());
  LIBVMM_ASSIGN_OR_RETURN(const kvm_regs* regs, machine.vcpu().Registers());
  return IsRight(static_cast<uint32_t>(regs->rax) == 0x55667788 &&
                     static_cast<uint32_t>(regs->rdx) == 0x11223344,
                 "EDX:EAX is what was given");
}

absl::Status ExitByWrmsr() {
  LIBVMM_ASSIGN_OR_RETURN(
      ExitMachine machine,
      FilteredMachine({0x66, 0xb9, 0x10, 0x00, 0x00, 0x00,  // mov ecx, 0x10
                       0x66, 0xb8, 0x02, 0x00, 0x00, 0x00,  // mov eax, 2
                       0x66, 0xba, 0x01, 0x00, 0x00, 0x00,  // mov edx, 1
                       0x0f, 0x30,                          // wrmsr
                       0xf4}));                             // hlt
  LIBVMM_ASSIGN_OR_RETURN(const Exit exit, machine.RunTo(ExitReason::kWrmsr));
  LIBVMM_RETURN_IF_ERROR(
      IsRight(exit.msr().index == kTscMsr &&
                  exit.msr().reason == KVM_MSR_EXIT_REASON_FILTER &&
                  exit.msr().value == 0x100000002,
              "the filtered MSR and its value"));
  return machine.RunTo(ExitReason::kHalt).status();
}

absl::Status ExitByDirtyRingFull() {
  LIBVMM_ASSIGN_OR_RETURN(ExitMachine machine, ExitMachine::Create());
  constexpr uint32_t kEntries = 256;
  LIBVMM_ASSIGN_OR_RETURN(const DirtyRings rings,
                          DirtyRings::Enable(machine.vm(), kEntries));
  LIBVMM_RETURN_IF_ERROR(
      machine.memory().slots()[0].log_dirty()
          ? absl::OkStatus()
          : machine.memory().StartDirtyTracking(VmMemory::DirtySource::kLog));
  LIBVMM_RETURN_IF_ERROR(machine.Put(
      kEntry, {
                  0xbf, 0x00, 0x00, 0x01, 0x00,        // mov edi, 0x10000
                  0x88, 0x07,                          // mov [rdi], al
                  0x81, 0xc7, 0x00, 0x10, 0x00, 0x00,  // add edi, 0x1000
                  0x81, 0xff, 0x00, 0x00, 0x20, 0x00,  // cmp edi, 2M
                  0x72, 0xf0,                          // jb to the mov
                  0xf4,                                // hlt
              }));
  LIBVMM_RETURN_IF_ERROR(machine.StartLong());
  LIBVMM_ASSIGN_OR_RETURN(DirtyRing ring, rings.Open(machine.vcpu()));
  LIBVMM_RETURN_IF_ERROR(machine.RunTo(ExitReason::kDirtyRingFull).status());
  const size_t harvested = ring.Harvest([](const DirtyPage&) {});
  LIBVMM_RETURN_IF_ERROR(IsRight(harvested > kEntries / 4, "pages are there"));
  LIBVMM_RETURN_IF_ERROR(rings.Reset().status());
  // With room again the guest goes on, to the end or to a full ring.
  LIBVMM_ASSIGN_OR_RETURN(const Exit exit, machine.Run());
  return IsRight(exit.reason() == ExitReason::kHalt ||
                     exit.reason() == ExitReason::kDirtyRingFull,
                 "the guest goes on");
}

absl::Status ExitByBusLock() {
  LIBVMM_ASSIGN_OR_RETURN(ExitMachine machine, ExitMachine::Create());
  LIBVMM_RETURN_IF_ERROR(SetBusLockExits(machine.vm(), true));
  LIBVMM_RETURN_IF_ERROR(machine.Put(
      kEntry, {0xf0, 0xff, 0x06, 0x3f, 0x20,  // lock inc word [0x203f]
               0xf4}));                       // hlt
  LIBVMM_RETURN_IF_ERROR(machine.StartReal());
  LIBVMM_ASSIGN_OR_RETURN(const Exit exit, machine.RunTo(ExitReason::kBusLock));
  return IsRight(exit.bus_lock(), "the flag is set");
}

absl::Status ExitByMemoryFault() {
  LIBVMM_ASSIGN_OR_RETURN(ExitMachine machine, ExitMachine::Create());
  LIBVMM_RETURN_IF_ERROR(
      RequireCapability(machine.vm().fd(),
                        LIBVMM_CAPABILITY(KVM_CAP_MEMORY_FAULT_INFO))
          .status());
  // A slot whose host memory cannot be accessed.
  LIBVMM_ASSIGN_OR_RETURN(
      const Mapping mapping,
      Mapping::Create({.size = 0x10000, .protection = PROT_NONE}));
  LIBVMM_ASSIGN_OR_RETURN(
      MemoryRegion region,
      MemoryRegion::External({mapping.data(), mapping.size()}));
  constexpr uint64_t kGpa = 0x500000;
  LIBVMM_ASSIGN_OR_RETURN(
      std::optional<MemorySlot> slot,
      MemorySlot::Create(machine.vm(), region, {.id = 9, .gpa = Gpa(kGpa)}));
  LIBVMM_RETURN_IF_ERROR(
      machine.Put(kEntry, {0xbb, 0x00, 0x00, 0x50, 0x00,  // mov ebx, 5M
                           0x88, 0x03,                    // mov [rbx], al
                           0xe6, 0x60}));                 // out 0x60, al
  LIBVMM_RETURN_IF_ERROR(machine.StartLong(/*user=*/true));
  const absl::StatusOr<Exit> exit = machine.RunTo(ExitReason::kMemoryFault);
  if (IsErrno(exit.status(), EFAULT)) {
    return absl::UnimplementedError("this KVM gives EFAULT alone");
  }
  LIBVMM_RETURN_IF_ERROR(exit.status());
  const MemoryFaultExit fault = exit->memory_fault();
  slot.reset();
  return IsRight(fault.error == EFAULT && fault.range.start == Gpa(kGpa) &&
                     fault.range.size == 0x1000,
                 "EFAULT for the page");
}

}  // namespace libvmm::testing
