// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_PLATFORM_PC_INTERRUPTS_H_
#define LIBVMM_PLATFORM_PC_INTERRUPTS_H_

#include <cstdint>
#include <memory>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "libvmm/base/clock.h"
#include "libvmm/base/msi.h"
#include "libvmm/devices/io_bus.h"
#include "libvmm/kvm/vcpu.h"
#include "libvmm/kvm/vm.h"
#include "libvmm/platform/deadline_source.h"

namespace libvmm {

// The interrupt controllers of a PC and its interval timer, wherever they are:
// in the kernel, in this process, or some of each.
//
// Thread-safety: thread-safe, but for what its vCPU calls.
// Ownership: owns controllers, timer and their places on the buses.
// Errors: of creation only. A GSI without a pin and a message to nobody go
//     nowhere.
// Cost: in the kernel one system call per change of a line; in this process a
//     lock, and a system call when a vCPU gets something.
class PcInterrupts {
 public:
  virtual ~PcInterrupts() = default;

  // GSI 0 to 23: the pins of the IOAPIC, 0 to 15 of the PICs too. A level; an
  // edge is high and then low.
  virtual void SetLine(uint32_t gsi, bool high) = 0;

  // Nowhere without local APICs.
  virtual void SignalMsi(const Msi& msi) = 0;

  // Called by vCPU 0 before each entry, unless needs_entry_hook() is false.
  virtual absl::Status BeforeEntry(Vcpu& vcpu) = 0;
  [[nodiscard]] virtual bool needs_entry_hook() const = 0;
  // Whether BeforeEntry has an interrupt to give.
  [[nodiscard]] virtual bool pending() const = 0;

  // KVM_EXIT_IOAPIC_EOI, on any vCPU's thread.
  virtual void EndOfInterrupt(uint8_t vector) = 0;

 protected:
  PcInterrupts() = default;
  PcInterrupts(const PcInterrupts&) = default;
  PcInterrupts& operator=(const PcInterrupts&) = default;
};

// What controllers in this process stand on.
struct PcInterruptParts {
  const Clock& clock;
  IoBus& ports;
  IoBus& mmio;
  DeadlineSource& deadlines;
  // The IOAPIC's entries name CPUs by 15 bits (IoApic::Options).
  bool extended_destination_ids = false;
  // Makes vCPU 0 leave the guest and come to BeforeEntry.
  absl::AnyInvocable<void()> wake_vcpu = nullptr;
};

// PIC, IOAPIC, PIT and local APICs of KVM. Before any vCPU.
absl::StatusOr<std::unique_ptr<PcInterrupts>> CreateKernelInterrupts(
    const Vm& vm);

// KVM's local APICs (KVM_CAP_SPLIT_IRQCHIP), with IOAPIC, PIC and PIT in this
// process. Before any vCPU.
absl::StatusOr<std::unique_ptr<PcInterrupts>> CreateSplitInterrupts(
    const Vm& vm, PcInterruptParts parts);

// PIC and PIT in this process, and no APIC.
absl::StatusOr<std::unique_ptr<PcInterrupts>> CreatePicInterrupts(
    PcInterruptParts parts);

}  // namespace libvmm

#endif  // LIBVMM_PLATFORM_PC_INTERRUPTS_H_
