// SPDX-License-Identifier: Apache-2.0
#include "tests/soak/irq_lines.h"

#include "libvmm/base/status_macros.h"
#include "tests/soak/mismatch.h"

namespace libvmm::soak {
namespace {

constexpr uint32_t kPicPin = 5;
constexpr uint32_t kMsiGsi = 24;
constexpr uint32_t kFirstSpareGsi = 32;
constexpr uint8_t kFirstVector = 0x40;
constexpr Msi kMsi = {.address = 0xfee00000, .data = kFirstVector};

uint32_t GsiOf(IrqMode mode) {
  return mode == IrqMode::kSplit ? kMsiGsi : kPicPin;
}

// As a guest sets its PIC up that ends interrupts by itself (ICW4 bit 1), with
// one pin open.
absl::Status SetUpPic(const IrqChip& chip, uint32_t id) {
  LIBVMM_ASSIGN_OR_RETURN(kvm_irqchip state, chip.GetState(id));
  kvm_pic_state& pic = state.chip.pic;
  pic.irq_base = static_cast<__u8>(
      id == KVM_IRQCHIP_PIC_MASTER ? kFirstVector : kFirstVector + 8);
  pic.imr =
      static_cast<__u8>(id == KVM_IRQCHIP_PIC_MASTER ? ~(1u << kPicPin) : 0xff);
  pic.auto_eoi = 1;
  pic.init4 = 1;
  return chip.SetState(state);
}

}  // namespace

absl::StatusOr<std::unique_ptr<IrqLines>> IrqLines::Create(const Vm& vm,
                                                           IrqMode mode,
                                                           bool with_pit) {
  LIBVMM_ASSIGN_OR_RETURN(EventFd event, EventFd::Create());
  std::unique_ptr<IrqLines> lines(new IrqLines(mode, std::move(event)));
  LIBVMM_RETURN_IF_ERROR(lines->SetUp(vm, with_pit));
  return lines;
}

absl::Status IrqLines::SetUp(const Vm& vm, bool with_pit) {
  MutexLock lock(mutex_);
  if (mode_ == IrqMode::kFull) {
    LIBVMM_ASSIGN_OR_RETURN(chip_, IrqChip::CreateFull(vm));
    LIBVMM_RETURN_IF_ERROR(SetUpPic(*chip_, KVM_IRQCHIP_PIC_MASTER));
    LIBVMM_RETURN_IF_ERROR(SetUpPic(*chip_, KVM_IRQCHIP_PIC_SLAVE));
    if (with_pit) {
      LIBVMM_ASSIGN_OR_RETURN(pit_, Pit::Create(vm, *chip_));
    }
  } else if (mode_ == IrqMode::kSplit) {
    LIBVMM_ASSIGN_OR_RETURN(chip_, IrqChip::CreateSplit(vm));
  }
  LIBVMM_ASSIGN_OR_RETURN(routing_, IrqRouting::Create(vm));
  if (mode_ == IrqMode::kFull) return routing_->AddDefaultRoutes();
  if (mode_ == IrqMode::kNone) return absl::OkStatus();
  LIBVMM_RETURN_IF_ERROR(routing_->SetMsi(kMsiGsi, kMsi));
  return routing_->Commit();
}

absl::Status IrqLines::Bind(const Vm& vm) {
  LIBVMM_ASSIGN_OR_RETURN(
      bound_, IrqFd::Create(vm, event_, *routing_, {.gsi = GsiOf(mode_)}));
  return absl::OkStatus();
}

absl::Status IrqLines::Toggle(const Vm& vm) {
  MutexLock lock(mutex_);
  if (mode_ == IrqMode::kNone) {
    const absl::Status status =
        IrqFd::Create(vm, event_, *routing_, {.gsi = kPicPin}).status();
    return status.ok() ? Mismatch("an irqfd without controllers")
                       : absl::OkStatus();
  }
  if (bound_.has_value()) {
    bound_.reset();
    return absl::OkStatus();
  }
  LIBVMM_RETURN_IF_ERROR(Bind(vm));
  return ExpectCode(
      "a second irqfd of an eventfd",
      IrqFd::Create(vm, event_, *routing_, {.gsi = GsiOf(mode_)}).status(),
      absl::StatusCode::kFailedPrecondition);
}

void IrqLines::Signal() {
  signals_.fetch_add(1);
  event_.Signal();
}

absl::Status IrqLines::CheckDelivery(
    const Vm& vm, absl::FunctionRef<absl::StatusOr<bool>()> arrived) {
  MutexLock lock(mutex_);
  if (!bound_.has_value()) {
    LIBVMM_RETURN_IF_ERROR(Bind(vm));
  }
  Signal();
  while (true) {
    LIBVMM_ASSIGN_OR_RETURN(const bool done, arrived());
    if (done) return absl::OkStatus();
  }
}

absl::Status IrqLines::ChangeRoutes(uint32_t count) {
  if (mode_ == IrqMode::kNone) return absl::OkStatus();
  MutexLock lock(mutex_);
  for (uint32_t i = 0; i < 16; ++i) {
    if (i < count) {
      LIBVMM_RETURN_IF_ERROR(routing_->SetMsi(kFirstSpareGsi + i, kMsi));
    } else {
      routing_->Remove(kFirstSpareGsi + i);
    }
  }
  return routing_->Commit();
}

absl::StatusOr<VmState> IrqLines::Save(const Vm& vm) const {
  VmState state;
  for (uint32_t id = 0; id < state.chips.size(); ++id) {
    LIBVMM_ASSIGN_OR_RETURN(state.chips[id], chip_->GetState(id));
  }
  if (pit_.has_value()) {
    LIBVMM_ASSIGN_OR_RETURN(state.pit, pit_->GetState());
  }
  LIBVMM_ASSIGN_OR_RETURN(state.clock, GetVmClock(vm));
  return state;
}

absl::Status IrqLines::Restore(const Vm& vm, const VmState& state) {
  for (kvm_irqchip chip : state.chips) {
    if (chip.chip_id != KVM_IRQCHIP_IOAPIC) {
      // A signal may be half delivered at either VM: its line high, or the
      // interrupt waiting. The line must not seem high for ever.
      chip.chip.pic.last_irr = 0;
      chip.chip.pic.irr = 0;
    }
    LIBVMM_RETURN_IF_ERROR(chip_->SetState(chip));
    LIBVMM_ASSIGN_OR_RETURN(const kvm_irqchip back,
                            chip_->GetState(chip.chip_id));
    if (chip.chip_id != KVM_IRQCHIP_IOAPIC &&
        (back.chip.pic.irq_base != chip.chip.pic.irq_base ||
         back.chip.pic.imr != chip.chip.pic.imr)) {
      return Mismatch("a PIC's state after its restore");
    }
  }
  if (pit_.has_value() && state.pit.has_value()) {
    LIBVMM_RETURN_IF_ERROR(pit_->SetState(*state.pit));
    LIBVMM_ASSIGN_OR_RETURN(const kvm_pit_state2 back, pit_->GetState());
    if (back.channels[0].mode != state.pit->channels[0].mode) {
      return Mismatch("the PIT's mode after its restore");
    }
  }
  return SetVmClock(vm, {.nanoseconds = state.clock.nanoseconds});
}

}  // namespace libvmm::soak
