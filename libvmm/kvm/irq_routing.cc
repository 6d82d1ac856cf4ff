// SPDX-License-Identifier: Apache-2.0
#include "libvmm/kvm/irq_routing.h"

#include <algorithm>
#include <cstddef>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/capability.h"
#include "libvmm/kvm/flex_block.h"
#include "libvmm/kvm/ioctl.h"

namespace libvmm {
namespace {

constexpr uint32_t kPicPins = 8;
constexpr uint32_t kIsaIrqs = 16;

uint32_t PinCount(uint32_t chip) {
  switch (chip) {
    case KVM_IRQCHIP_PIC_MASTER:
    case KVM_IRQCHIP_PIC_SLAVE:
      return kPicPins;
    case KVM_IRQCHIP_IOAPIC:
      return KVM_IOAPIC_NUM_PINS;
    default:
      return 0;
  }
}

// With 32-bit APIC ids on, KVM refuses the whole table for one such message.
bool LeadsNowhere(const kvm_irq_routing_entry& entry) {
  return entry.type == KVM_IRQ_ROUTING_MSI &&
         (entry.u.msi.address_hi & 0xff) != 0;
}

}  // namespace

IrqRouting::IrqRouting(std::shared_ptr<const VmFd> vm, uint32_t gsi_limit)
    : vm_(std::move(vm)), gsi_limit_(gsi_limit) {}
IrqRouting::IrqRouting(IrqRouting&&) noexcept = default;
IrqRouting& IrqRouting::operator=(IrqRouting&&) noexcept = default;
IrqRouting::~IrqRouting() = default;

absl::StatusOr<IrqRouting> IrqRouting::Create(const Vm& vm) {
  LIBVMM_ASSIGN_OR_RETURN(
      const int limit,
      RequireCapability(vm.fd(), LIBVMM_CAPABILITY(KVM_CAP_IRQ_ROUTING)));
  return IrqRouting(vm.shared_fd(), static_cast<uint32_t>(limit));
}

absl::Status IrqRouting::CheckGsi(uint32_t gsi) const {
  if (gsi < gsi_limit_) return absl::OkStatus();
  return absl::OutOfRangeError(
      absl::StrCat("GSI ", gsi, " is not below ", gsi_limit_));
}

absl::Status IrqRouting::AddDefaultRoutes() {
  const auto before = static_cast<std::ptrdiff_t>(entries_.size());
  absl::Status status = AddDefaultPins();
  if (!status.ok()) entries_.erase(entries_.begin() + before, entries_.end());
  return status;
}

absl::Status IrqRouting::AddDefaultPins() {
  for (uint32_t gsi = 0; gsi < KVM_IOAPIC_NUM_PINS; ++gsi) {
    if (gsi < kIsaIrqs) {
      const uint32_t pic =
          gsi < kPicPins ? KVM_IRQCHIP_PIC_MASTER : KVM_IRQCHIP_PIC_SLAVE;
      LIBVMM_RETURN_IF_ERROR(AddPin(gsi, {.chip = pic, .pin = gsi % kPicPins}));
    }
    LIBVMM_RETURN_IF_ERROR(
        AddPin(gsi, {.chip = KVM_IRQCHIP_IOAPIC, .pin = gsi}));
  }
  return absl::OkStatus();
}

absl::Status IrqRouting::AddPin(uint32_t gsi, PinRoute route) {
  LIBVMM_RETURN_IF_ERROR(CheckGsi(gsi));
  if (route.pin >= PinCount(route.chip)) {
    return absl::InvalidArgumentError(
        absl::StrCat("irqchip ", route.chip, " has no pin ", route.pin));
  }
  for (const kvm_irq_routing_entry& entry : entries_) {
    if (entry.gsi == gsi && (entry.type != KVM_IRQ_ROUTING_IRQCHIP ||
                             entry.u.irqchip.irqchip == route.chip)) {
      return absl::AlreadyExistsError(
          absl::StrCat("GSI ", gsi, " has a route that excludes irqchip ",
                       route.chip, " pin ", route.pin));
    }
  }
  kvm_irq_routing_entry entry = {};
  entry.gsi = gsi;
  entry.type = KVM_IRQ_ROUTING_IRQCHIP;
  entry.u.irqchip = {.irqchip = route.chip, .pin = route.pin};
  entries_.push_back(entry);
  return absl::OkStatus();
}

absl::Status IrqRouting::Replace(const kvm_irq_routing_entry& entry) {
  LIBVMM_RETURN_IF_ERROR(CheckGsi(entry.gsi));
  Remove(entry.gsi);
  entries_.push_back(entry);
  return absl::OkStatus();
}

absl::Status IrqRouting::SetMsi(uint32_t gsi, const Msi& msi) {
  kvm_irq_routing_entry entry = {};
  entry.gsi = gsi;
  entry.type = KVM_IRQ_ROUTING_MSI;
  entry.u.msi.address_lo = static_cast<uint32_t>(msi.address);
  entry.u.msi.address_hi = static_cast<uint32_t>(msi.address >> 32);
  entry.u.msi.data = msi.data;
  return Replace(entry);
}

absl::Status IrqRouting::SetHyperVSint(uint32_t gsi, HyperVSintRoute route) {
  kvm_irq_routing_entry entry = {};
  entry.gsi = gsi;
  entry.type = KVM_IRQ_ROUTING_HV_SINT;
  entry.u.hv_sint = {.vcpu = route.vcpu_index, .sint = route.sint};
  return Replace(entry);
}

absl::Status IrqRouting::SetXenEvent(uint32_t gsi, XenEventRoute route) {
  kvm_irq_routing_entry entry = {};
  entry.gsi = gsi;
  entry.type = KVM_IRQ_ROUTING_XEN_EVTCHN;
  entry.u.xen_evtchn = {.port = route.port,
                        .vcpu = route.vcpu_id,
                        .priority = KVM_IRQ_ROUTING_XEN_EVTCHN_PRIO_2LEVEL};
  return Replace(entry);
}

void IrqRouting::Remove(uint32_t gsi) {
  std::erase_if(entries_, [gsi](const kvm_irq_routing_entry& entry) {
    return entry.gsi == gsi;
  });
}

void IrqRouting::Clear() { entries_.clear(); }

bool IrqRouting::HasRoute(uint32_t gsi) const {
  return std::any_of(entries_.begin(), entries_.end(),
                     [gsi](const kvm_irq_routing_entry& entry) {
                       return entry.gsi == gsi && !LeadsNowhere(entry);
                     });
}

bool IrqRouting::HasPinRoute(uint32_t gsi) const {
  return std::any_of(entries_.begin(), entries_.end(),
                     [gsi](const kvm_irq_routing_entry& entry) {
                       return entry.gsi == gsi &&
                              entry.type == KVM_IRQ_ROUTING_IRQCHIP;
                     });
}

std::optional<uint32_t> IrqRouting::FindFreeGsi(uint32_t first) const {
  std::vector<bool> used(gsi_limit_);
  for (const kvm_irq_routing_entry& entry : entries_) used[entry.gsi] = true;
  for (uint32_t gsi = first; gsi < gsi_limit_; ++gsi) {
    if (!used[gsi]) return gsi;
  }
  return std::nullopt;
}

absl::Status IrqRouting::Commit() const {
  const auto table = internal::AllocateFlexBlock<kvm_irq_routing>(
      sizeof(kvm_irq_routing) +
      entries_.size() * sizeof(kvm_irq_routing_entry));
  std::byte* next =
      reinterpret_cast<std::byte*>(table.get()) + sizeof(kvm_irq_routing);
  for (const kvm_irq_routing_entry& entry : entries_) {
    if (LeadsNowhere(entry)) continue;
    std::memcpy(next, &entry, sizeof(entry));
    next += sizeof(entry);
    ++table->nr;
  }
  return CallIoctl(vm_->get(), LIBVMM_IOCTL(KVM_SET_GSI_ROUTING), table.get(),
                   absl::StrCat(table->nr, " routes"))
      .status();
}

}  // namespace libvmm
