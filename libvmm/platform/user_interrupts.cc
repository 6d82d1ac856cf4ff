// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "libvmm/base/status_macros.h"
#include "libvmm/devices/interrupt/io_apic.h"
#include "libvmm/devices/interrupt/pic_8259a.h"
#include "libvmm/devices/interrupt/pic_8259a_registers.h"
#include "libvmm/devices/io_registration.h"
#include "libvmm/devices/timer/pit_8254.h"
#include "libvmm/devices/timer/pit_8254_registers.h"
#include "libvmm/devices/timer/system_control_port_b.h"
#include "libvmm/kvm/irq_routing.h"
#include "libvmm/kvm/irqchip.h"
#include "libvmm/platform/eoi_routes.h"
#include "libvmm/platform/pc_interrupts.h"
#include "libvmm/platform/pc_layout.h"
#include "libvmm/platform/pic_injector.h"

namespace libvmm {

namespace {

// The timer's interrupt line, and the IOAPIC's pin to which PCs wire it.
constexpr uint32_t kTimerGsi = 0;
constexpr size_t kTimerPin = 2;

// PIC and PIT in this process.
class PicInterrupts : public PcInterrupts {
 public:
  explicit PicInterrupts(PcInterruptParts parts)
      : parts_(std::move(parts)),
        pic_({.intr =
                  [this](bool level) {
                    if (level && parts_.wake_vcpu) parts_.wake_vcpu();
                  }}),
        injector_(pic_),
        pit_(parts_.clock,
             {.interrupt = [this](bool level) { SetLine(kTimerGsi, level); },
              .deadline_moved = [this] { parts_.deadlines.Wake(); }}),
        port_b_(parts_.clock, pit_) {}

  absl::Status Place() {
    parts_.deadlines.Add(pit_);
    struct Range {
      uint16_t port;
      uint64_t size;
      IoDevice& device;
    };
    for (const Range& range : {
             Range{pic_8259a::kMasterPort, pic_8259a::kRegisterCount,
                   pic_.master()},
             Range{pic_8259a::kSlavePort, pic_8259a::kRegisterCount,
                   pic_.slave()},
             Range{pic_8259a::kElcrPort, pic_8259a::kElcrCount, pic_.elcr()},
             Range{pit_8254::kPort, pit_8254::kRegisterCount, pit_},
             Range{system_control_port_b::kPort, 1, port_b_},
         }) {
      LIBVMM_RETURN_IF_ERROR(Keep(parts_.ports.Register(
          {.base = range.port, .size = range.size}, range.device)));
    }
    return absl::OkStatus();
  }

  void SetLine(uint32_t gsi, bool high) override { pic_.SetLine(gsi, high); }
  void SignalMsi(const Msi&) override {}
  absl::Status BeforeEntry(Vcpu& vcpu) override {
    return injector_.BeforeEntry(vcpu);
  }
  bool needs_entry_hook() const override { return true; }
  bool pending() const override { return pic_.intr(); }
  void EndOfInterrupt(uint8_t) override {}

 protected:
  PcInterruptParts& parts() { return parts_; }
  absl::Status Keep(absl::StatusOr<IoRegistration> registration) {
    LIBVMM_RETURN_IF_ERROR(registration.status());
    registrations_.push_back(*std::move(registration));
    return absl::OkStatus();
  }
  // For those who own further devices.
  void LeaveBuses() { registrations_.clear(); }

 private:
  PcInterruptParts parts_;
  Pic8259a pic_;
  PicInjector injector_;
  Pit8254 pit_;
  SystemControlPortB port_b_;
  std::vector<IoRegistration> registrations_;
};

// The same and an IOAPIC, with KVM's local APICs.
class SplitInterrupts final : public PicInterrupts {
 public:
  SplitInterrupts(PcInterruptParts parts, IrqChip irqchip, IrqRouting routing)
      : PicInterrupts(std::move(parts)),
        irqchip_(std::move(irqchip)),
        routes_(std::move(routing)),
        io_apic_({.deliver = [this](const Msi& msi) { SignalMsi(msi); },
                  .route_changed =
                      [this](size_t pin) { routes_.Update(pin, io_apic_); },
                  .extended_destination_id =
                      PicInterrupts::parts().extended_destination_ids}) {}
  ~SplitInterrupts() override { LeaveBuses(); }

  absl::Status Place() {
    LIBVMM_RETURN_IF_ERROR(PicInterrupts::Place());
    constexpr GpaRange kPlace = PcLayout::kIoapic;
    return Keep(parts().mmio.Register(
        {.base = kPlace.start.value(), .size = kPlace.size}, io_apic_));
  }

  void SetLine(uint32_t gsi, bool high) override {
    PicInterrupts::SetLine(gsi, high);
    if (gsi == kTimerGsi) {
      io_apic_.SetLine(kTimerPin, high);
    } else if (gsi != kTimerPin) {
      io_apic_.SetLine(gsi, high);
    }
  }
  void SignalMsi(const Msi& msi) override {
    // What a guest wrote leads somewhere or nowhere.
    (void)irqchip_.SignalMsi(msi);
  }
  void EndOfInterrupt(uint8_t vector) override {
    io_apic_.EndOfInterrupt(vector);
  }

 private:
  IrqChip irqchip_;
  EoiRoutes routes_;
  IoApic io_apic_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<PcInterrupts>> CreateSplitInterrupts(
    const Vm& vm, PcInterruptParts parts) {
  LIBVMM_ASSIGN_OR_RETURN(IrqChip irqchip, IrqChip::CreateSplit(vm));
  LIBVMM_ASSIGN_OR_RETURN(IrqRouting routing, IrqRouting::Create(vm));
  auto interrupts = std::make_unique<SplitInterrupts>(
      std::move(parts), std::move(irqchip), std::move(routing));
  LIBVMM_RETURN_IF_ERROR(interrupts->Place());
  return interrupts;
}

absl::StatusOr<std::unique_ptr<PcInterrupts>> CreatePicInterrupts(
    PcInterruptParts parts) {
  auto interrupts = std::make_unique<PicInterrupts>(std::move(parts));
  LIBVMM_RETURN_IF_ERROR(interrupts->Place());
  return interrupts;
}

}  // namespace libvmm
