// SPDX-License-Identifier: Apache-2.0
#include <utility>

#include "libvmm/base/status_macros.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/irq_routing.h"
#include "libvmm/kvm/irqchip.h"
#include "libvmm/kvm/pit.h"
#include "libvmm/platform/pc_interrupts.h"

namespace libvmm {

namespace {

class KernelInterrupts final : public PcInterrupts {
 public:
  KernelInterrupts(IrqChip irqchip, Pit pit)
      : irqchip_(std::move(irqchip)), pit_(std::move(pit)) {}

  void SetLine(uint32_t gsi, bool high) override {
    // Fails for a GSI beyond all tables alone.
    (void)irqchip_.SetLine(gsi, high);
  }
  void SignalMsi(const Msi& msi) override {
    // What a guest wrote leads somewhere or nowhere.
    (void)irqchip_.SignalMsi(msi);
  }
  absl::Status BeforeEntry(Vcpu&) override { return absl::OkStatus(); }
  bool needs_entry_hook() const override { return false; }
  bool pending() const override { return false; }
  void EndOfInterrupt(uint8_t) override {}

 private:
  IrqChip irqchip_;
  Pit pit_;
};

// KVM's default routes, but for the timer's GSI 0: PCs wire it to the IOAPIC's
// pin 2, and the tables say so.
absl::Status WireTimer(const Vm& vm) {
  constexpr uint32_t kTimerGsi = 0;
  constexpr uint32_t kTimerPin = 2;
  LIBVMM_ASSIGN_OR_RETURN(IrqRouting routing, IrqRouting::Create(vm));
  LIBVMM_RETURN_IF_ERROR(routing.AddDefaultRoutes());
  routing.Remove(kTimerGsi);
  routing.Remove(kTimerPin);
  LIBVMM_RETURN_IF_ERROR(routing.AddPin(
      kTimerGsi, {.chip = KVM_IRQCHIP_PIC_MASTER, .pin = kTimerGsi}));
  LIBVMM_RETURN_IF_ERROR(routing.AddPin(
      kTimerGsi, {.chip = KVM_IRQCHIP_IOAPIC, .pin = kTimerPin}));
  return routing.Commit();
}

}  // namespace

absl::StatusOr<std::unique_ptr<PcInterrupts>> CreateKernelInterrupts(
    const Vm& vm) {
  LIBVMM_ASSIGN_OR_RETURN(IrqChip irqchip, IrqChip::CreateFull(vm));
  LIBVMM_RETURN_IF_ERROR(WireTimer(vm));
  LIBVMM_ASSIGN_OR_RETURN(Pit pit, Pit::Create(vm, irqchip));
  return std::make_unique<KernelInterrupts>(std::move(irqchip), std::move(pit));
}

}  // namespace libvmm
