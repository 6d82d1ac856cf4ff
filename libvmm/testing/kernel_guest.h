// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_TESTING_KERNEL_GUEST_H_
#define LIBVMM_TESTING_KERNEL_GUEST_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "libvmm/base/address.h"
#include "libvmm/boot/long_mode.h"
#include "libvmm/boot/page_tables.h"
#include "libvmm/kvm/cpuid.h"
#include "libvmm/kvm/exit.h"
#include "libvmm/kvm/irqchip.h"
#include "libvmm/kvm/kvm.h"
#include "libvmm/kvm/vcpu.h"
#include "libvmm/kvm/vm.h"
#include "libvmm/kvm/vm_memory.h"
#include "libvmm/memory/guest_memory.h"
#include "libvmm/testing/guest_code.h"
#include "libvmm/testing/test_vm.h"

namespace libvmm::testing {

// A VM for tests of what a guest's kernel sees: vCPUs in long mode at CPL 0 or
// 3, an interrupt descriptor table whose 256 handlers count, log and
// acknowledge as the test chooses, task states with a ring-0 stack, and up to
// kMaxVcpus of it.
//
// 2 MiB of memory at 0 are mapped at their own addresses, open to CPL 3, and
// once more from kKernelHalf on for CPL 0 alone, where the handlers run: a KVM
// that keeps user and kernel apart by address wants it so. The pages of local
// APIC and IOAPIC are mapped as well, and a page at kHole that has no memory.
// GDT and selectors are those of Gdt::LongMode.
//
//   ASSERT_OK_AND_ASSIGN(auto guest, KernelGuest::Create({}));
//   guest->Put(KernelGuest::kCode, kDivideByZero);
//   ASSERT_OK_AND_ASSIGN(Vcpu* const vcpu, guest->AddVcpu(0));
//   ASSERT_OK(guest->Start(*vcpu, {.privilege = Privilege::kUser}));
//   ASSERT_OK_AND_ASSIGN(const Trap trap, guest->RunToTrap(*vcpu));
//   EXPECT_EQ(trap.vector, 0u);
//
// Thread-safety: thread-compatible; Run and what is built on it may be called
//     for different vCPUs at the same time.
// Ownership: owns all of it.
// Errors: kDeadlineExceeded when a run takes longer than a minute, so that no
//     guest spins for ever.
class KernelGuest {
 public:
  // Where things are, gpa and gva alike. guest_code.h gives the guest's side
  // the same names.
  static constexpr uint64_t kCode = 0x10000;   // CODE: where vCPUs start
  static constexpr uint64_t kCode2 = 0x14000;  // CODE2: for a second program
  static constexpr uint64_t kData = 0x20000;   // DATA: a page for the test
  static constexpr uint64_t kHole = 0xd0000000;
  static constexpr uint64_t kKernelHalf = 0xffff'ffff'8000'0000;
  static constexpr uint64_t kMemorySize = uint64_t{2} << 20;
  static constexpr uint32_t kMaxVcpus = 4;
  // Guests report to the test by writing to this port.
  static constexpr uint16_t kPort = 0xf4;
  // A handler with kReport writes its vector here.
  static constexpr uint16_t kTrapPort = 0xf5;
  // Run passes over writes to this port. A guest with interrupts on makes one
  // where pending interrupts must have come in before it goes on: a KVM that
  // emulates may run many instructions before it looks.
  static constexpr uint16_t kWindowPort = 0xf6;

  enum class Controller : uint8_t { kNone, kFull, kSplit };

  struct Options {
    Controller controller = Controller::kNone;
    // Beside those above.
    std::vector<PageMapping> mappings = {};
    // Changes what the vCPUs see; starts from the supported list and the id.
    std::function<void(Cpuid&)> edit_cpuid = nullptr;
  };

  // What a handler does, in this order, besides counting; bits to be ORed.
  enum Action : uint8_t {
    kCount = 0,
    kReport = 1,     // log the trap and exit
    kEndXapic = 2,   // end of interrupt to the local APIC by MMIO
    kEndX2apic = 4,  // the same by MSR
    kEndPic = 8,     // non-specific end of interrupt to the master PIC
  };

  // What the CPU left on the handler's stack.
  struct Trap {
    uint64_t vector = 0;
    uint64_t error_code = 0;  // zero for a vector that has none
    uint64_t rip = 0;
    uint64_t cs = 0;
    uint64_t rflags = 0;
    uint64_t rsp = 0;
    uint64_t ss = 0;
    uint64_t cr2 = 0;
    // Where on the stack that is: vector, error code, RIP and so on.
    uint64_t frame = 0;
  };

  static absl::StatusOr<std::unique_ptr<KernelGuest>> Create(
      const Options& options);

  KernelGuest(const KernelGuest&) = delete;
  KernelGuest& operator=(const KernelGuest&) = delete;

  [[nodiscard]] const Kvm& kvm() const { return test_.kvm(); }
  [[nodiscard]] const Vm& vm() const { return test_.vm(); }
  [[nodiscard]] VmMemory& vm_memory() { return test_.memory(); }
  [[nodiscard]] GuestMemory& memory() { return test_.guest(); }
  // Only with a controller.
  [[nodiscard]] const IrqChip& irqchip() const { return *irqchip_; }

  void Put(uint64_t address, GuestCode code);
  [[nodiscard]] uint64_t Word(uint64_t address) const;
  void SetWord(uint64_t address, uint64_t value);

  // Chooses what the handler of `vector` does, an OR of Action, and from which
  // privilege INT n may reach it. At first all report, for CPL 0.
  void OnTrap(uint8_t vector, unsigned actions,
              Privilege callable_from = Privilege::kKernel);
  // Gives `vector` to a handler of the test's at `address`, which does all of
  // it itself.
  void SetHandler(uint8_t vector, uint64_t address);
  // How often the handler of `vector` has run.
  [[nodiscard]] uint64_t TrapCount(uint8_t vector) const;

  // A vCPU with its CPUID, as KVM made it: with a controller all but 0 wait for
  // INIT and SIPI.
  absl::StatusOr<Vcpu*> AddVcpu(uint32_t id);

  struct StartOptions {
    uint64_t entry = kCode;
    Privilege privilege = Privilege::kKernel;
    bool interrupts = false;  // RFLAGS.IF
  };
  // Puts `vcpu` into long mode, whatever it waited for, with its own stacks.
  absl::Status Start(Vcpu& vcpu, const StartOptions& options);
  absl::Status Start(Vcpu& vcpu) { return Start(vcpu, StartOptions()); }

  enum class ApicMode : uint8_t { kXapic, kX2apic };
  // Enables the local APIC, whose mode is as asked, with spurious vector 255.
  // After Start.
  absl::Status EnableLocalApic(Vcpu& vcpu, ApicMode mode);

  // The two stack tops of a vCPU.
  [[nodiscard]] static uint64_t StackTop(const Vcpu& vcpu);
  [[nodiscard]] static uint64_t Ring0StackTop(const Vcpu& vcpu);

  // Runs until the next exit that is no signal, no retry and not kWindowPort.
  absl::StatusOr<Exit> Run(Vcpu& vcpu);
  // Runs until the guest writes to `port` and returns what; kInternal names any
  // other exit.
  absl::StatusOr<uint32_t> RunToPort(Vcpu& vcpu, uint16_t port = kPort);
  // Runs until the vCPU sleeps in HLT; with a controller.
  absl::Status RunUntilHalted(Vcpu& vcpu);
  // Runs until a handler reports.
  absl::StatusOr<Trap> RunToTrap(Vcpu& vcpu);
  // The handler that has reported will return to `rip`.
  void ReturnTo(const Trap& trap, uint64_t rip);

 private:
  explicit KernelGuest(TestVm test) : test_(std::move(test)) {}

  absl::Status FillMemory();
  void SetGate(uint8_t vector, uint64_t address, Privilege callable_from);

  TestVm test_;
  std::function<void(Cpuid&)> edit_cpuid_;
  std::vector<PageMapping> mappings_;
  std::optional<IrqChip> irqchip_;
  std::vector<std::unique_ptr<Vcpu>> vcpus_;
};

// True for a KVM that runs the guest's CPL 0 by an emulator without all of its
// instructions (INT n is the one tried), which is where quirks are.
absl::StatusOr<bool> EmulatesKernelMode();

// "KVM_EXIT_MMIO", and for an internal error its words and bytes: for messages
// of tests.
std::string DescribeExit(const Exit& exit);

}  // namespace libvmm::testing

#endif  // LIBVMM_TESTING_KERNEL_GUEST_H_
