// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_KVM_IRQCHIP_H_
#define LIBVMM_KVM_IRQCHIP_H_

#include <cstdint>
#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "libvmm/base/msi.h"
#include "libvmm/kvm/vm.h"

struct kvm_irqchip;

namespace libvmm {

// What became of a change of an interrupt line (KVM_IRQ_LINE_STATUS).
enum class IrqDelivery {
  kDelivered,  // at least one vCPU has it pending
  kCoalesced,  // it was pending already: a tick was lost
  kIgnored,    // masked, or no route leads from this GSI anywhere
};

// What became of an MSI (KVM_SIGNAL_MSI).
enum class MsiDelivery {
  kDelivered,
  kBlocked,   // the guest blocks it; or, as kNoTarget, nobody is there: KVM
              // tells the two apart only when it has to look at every APIC
  kNoTarget,  // no vCPU has the destination id, or its APIC is off
};

// KVM's in-kernel interrupt controllers of one VM. Full: the i8259 pair, an
// IOAPIC with 24 pins, and a local APIC in each vCPU (KVM_CREATE_IRQCHIP).
// Split: the local APICs alone, while PIC and IOAPIC are the embedder's
// (KVM_CAP_SPLIT_IRQCHIP). A VM that has neither gets interrupts through
// KVM_INTERRUPT on the vCPU.
//
// Thread-safety: thread-safe; the kernel serialises. A device thread may drive
//     a line while vCPUs run.
// Ownership: move-only; keeps the VM's descriptor open. The controllers
//     themselves live and die with the VM: destroying this object only ends the
//     access to them, and no second one can be made.
// Errors: before any vCPU, else kInvalidArgument (EINVAL); once, else
//     kAlreadyExists. What a guest can cause (an MSI to nowhere, a masked line)
//     is a value.
// Cost: one system call per operation. An irqfd raises an interrupt from an
//     eventfd without coming through here.
class IrqChip {
 public:
  // The GSIs kept for the embedder's IOAPIC in the split form: level-triggered
  // routes with these GSIs give KVM_EXIT_IOAPIC_EOI.
  struct SplitOptions {
    uint32_t ioapic_pin_count = 24;
  };

  // The full set. The VM starts with KVM's default routes:
  // IrqRouting::AddDefaultRoutes describes them.
  static absl::StatusOr<IrqChip> CreateFull(const Vm& vm);
  static absl::StatusOr<IrqChip> CreateSplit(const Vm& vm,
                                             const SplitOptions& options);
  static absl::StatusOr<IrqChip> CreateSplit(const Vm& vm) {
    return CreateSplit(vm, SplitOptions());
  }

  IrqChip(IrqChip&&) noexcept = default;
  IrqChip& operator=(IrqChip&&) noexcept = default;
  ~IrqChip() = default;

  // KVM_GET_IRQCHIP and KVM_SET_IRQCHIP, to save and restore one controller of
  // the full set: KVM_IRQCHIP_PIC_MASTER, _PIC_SLAVE or _IOAPIC, in `chip_id`.
  // Stop the vCPUs first. kInvalidArgument for another id, kFailedPrecondition
  // on a split chip.
  absl::StatusOr<kvm_irqchip> GetState(uint32_t chip_id) const;
  absl::Status SetState(const kvm_irqchip& state) const;

  // KVM_IRQ_LINE: drives a GSI high or low. A level-triggered line stays as
  // set; an edge needs high, then low. kOutOfRange for a GSI that no table can
  // route. A GSI that merely has no route is accepted and goes nowhere.
  absl::Status SetLine(uint32_t gsi, bool high) const;

  // KVM_IRQ_LINE_STATUS: the same, and tells what became of it.
  absl::StatusOr<IrqDelivery> SetLineWithStatus(uint32_t gsi, bool high) const;

  // KVM_SIGNAL_MSI: delivers one MSI without a route.
  absl::StatusOr<MsiDelivery> SignalMsi(const Msi& msi) const;

  [[nodiscard]] bool is_split() const { return is_split_; }

 private:
  IrqChip(std::shared_ptr<const VmFd> vm, uint32_t gsi_count, bool is_split)
      : vm_(std::move(vm)), gsi_count_(gsi_count), is_split_(is_split) {}

  std::shared_ptr<const VmFd> vm_;
  uint32_t gsi_count_;
  bool is_split_;
};

}  // namespace libvmm

#endif  // LIBVMM_KVM_IRQCHIP_H_
