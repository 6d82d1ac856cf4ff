// SPDX-License-Identifier: Apache-2.0
#include "libvmm/kvm/irqchip.h"

#include <sys/ioctl.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "libvmm/base/errno_status.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/capability.h"
#include "libvmm/kvm/ioctl.h"

namespace libvmm {
namespace {

// Without routing there are the pins of the IOAPIC and no more.
uint32_t GsiCount(const Vm& vm) {
  const int count = vm.CheckExtension(KVM_CAP_IRQ_ROUTING);
  return count > 0 ? static_cast<uint32_t>(count) : KVM_IOAPIC_NUM_PINS;
}

absl::Status CheckGsi(uint32_t gsi, uint32_t gsi_count) {
  if (gsi < gsi_count) return absl::OkStatus();
  return absl::OutOfRangeError(
      absl::StrCat("GSI ", gsi, " is not below ", gsi_count));
}

absl::Status CheckChip(uint32_t chip_id, bool is_split) {
  if (is_split) {
    return absl::FailedPreconditionError(
        "a split irqchip has no PIC and no IOAPIC in the kernel");
  }
  if (chip_id < KVM_NR_IRQCHIPS) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("chip_id ", chip_id, " names no irqchip"));
}

}  // namespace

absl::StatusOr<IrqChip> IrqChip::CreateFull(const Vm& vm) {
  LIBVMM_RETURN_IF_ERROR(
      RequireCapability(vm.fd(), LIBVMM_CAPABILITY(KVM_CAP_IRQCHIP)).status());
  LIBVMM_RETURN_IF_ERROR(
      CallIoctl(vm.fd(), LIBVMM_IOCTL(KVM_CREATE_IRQCHIP), 0).status());
  return IrqChip(vm.shared_fd(), GsiCount(vm), /*is_split=*/false);
}

absl::StatusOr<IrqChip> IrqChip::CreateSplit(const Vm& vm,
                                             const SplitOptions& options) {
  constexpr Capability kSplit = LIBVMM_CAPABILITY(KVM_CAP_SPLIT_IRQCHIP);
  LIBVMM_RETURN_IF_ERROR(RequireCapability(vm.fd(), kSplit).status());
  LIBVMM_RETURN_IF_ERROR(
      EnableCapability(vm.fd(), kSplit, {options.ioapic_pin_count}));
  return IrqChip(vm.shared_fd(), GsiCount(vm), /*is_split=*/true);
}

absl::StatusOr<kvm_irqchip> IrqChip::GetState(uint32_t chip_id) const {
  LIBVMM_RETURN_IF_ERROR(CheckChip(chip_id, is_split_));
  kvm_irqchip state = {};
  state.chip_id = chip_id;
  LIBVMM_RETURN_IF_ERROR(CallIoctl(vm_->get(), LIBVMM_IOCTL(KVM_GET_IRQCHIP),
                                   &state, absl::StrCat("chip ", chip_id))
                             .status());
  return state;
}

absl::Status IrqChip::SetState(const kvm_irqchip& state) const {
  LIBVMM_RETURN_IF_ERROR(CheckChip(state.chip_id, is_split_));
  return CallIoctl(vm_->get(), LIBVMM_IOCTL(KVM_SET_IRQCHIP), &state,
                   absl::StrCat("chip ", state.chip_id))
      .status();
}

absl::Status IrqChip::SetLine(uint32_t gsi, bool high) const {
  LIBVMM_RETURN_IF_ERROR(CheckGsi(gsi, gsi_count_));
  kvm_irq_level level = {};
  level.irq = gsi;
  level.level = high ? 1 : 0;
  // The detail of an error is built only for one: devices come through here.
  return CallIoctl(vm_->get(), LIBVMM_IOCTL(KVM_IRQ_LINE), &level).status();
}

absl::StatusOr<IrqDelivery> IrqChip::SetLineWithStatus(uint32_t gsi,
                                                       bool high) const {
  LIBVMM_RETURN_IF_ERROR(CheckGsi(gsi, gsi_count_));
  kvm_irq_level level = {};
  level.irq = gsi;
  level.level = high ? 1 : 0;
  LIBVMM_RETURN_IF_ERROR(
      CallIoctl(vm_->get(), LIBVMM_IOCTL(KVM_IRQ_LINE_STATUS), &level)
          .status());
  if (level.status > 0) return IrqDelivery::kDelivered;
  return level.status == 0 ? IrqDelivery::kCoalesced : IrqDelivery::kIgnored;
}

absl::StatusOr<MsiDelivery> IrqChip::SignalMsi(const Msi& msi) const {
  constexpr IoctlRequest kSignalMsi = LIBVMM_IOCTL(KVM_SIGNAL_MSI);
  kvm_msi argument = {};
  argument.address_lo = static_cast<uint32_t>(msi.address);
  argument.address_hi = static_cast<uint32_t>(msi.address >> 32);
  argument.data = msi.data;
  const int result = ::ioctl(vm_->get(), kSignalMsi.code, &argument);
  if (result > 0) return MsiDelivery::kDelivered;
  if (result == 0) return MsiDelivery::kBlocked;
  // The kernel's -1 for "no vCPU took it" arrives as EPERM; EINVAL is an
  // address that the enabled MSI format does not have. The guest chooses both.
  if (errno == EPERM || errno == EINVAL) return MsiDelivery::kNoTarget;
  return ErrnoStatus(errno, absl::StrCat("ioctl(", kSignalMsi.name, ")"));
}

}  // namespace libvmm
