// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_KVM_IRQ_ROUTING_H_
#define LIBVMM_KVM_IRQ_ROUTING_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "libvmm/kvm/irqchip.h"
#include "libvmm/kvm/vm.h"

struct kvm_irq_routing_entry;

namespace libvmm {

// The table that leads each GSI of a VM to interrupt controller pins or to an
// MSI (KVM_SET_GSI_ROUTING). KVM knows only the whole table and cannot tell
// what is in it, so the master copy is here: change it, then Commit.
//
//   LIBVMM_ASSIGN_OR_RETURN(IrqRouting routing, IrqRouting::Create(vm));
//   LIBVMM_RETURN_IF_ERROR(routing.AddDefaultRoutes());
//   LIBVMM_RETURN_IF_ERROR(
//       routing.SetMsi(24, {.address = 0xfee00000, .data = 0x41}));
//   LIBVMM_RETURN_IF_ERROR(routing.Commit());
//
// A VM with the full irqchip starts with the default routes. The first Commit
// replaces them too: a table without AddDefaultRoutes leaves the pins of PIC
// and IOAPIC dead, and KVM_IRQ_LINE does not say so. With a split irqchip, the
// routes of the embedder's IOAPIC are MSIs under its reserved GSIs; commit
// again when the guest changes a redirection entry, or KVM reports the EOI of
// stale vectors.
//
// Thread-safety: thread-compatible. Commit may run while vCPUs do: KVM switches
//     tables as a whole.
// Ownership: move-only; keeps the VM's descriptor open. The committed table
//     stays with the VM when this object goes.
// Errors: kOutOfRange for a GSI not below gsi_limit(); kAlreadyExists for a
//     route that cannot stand beside those its GSI has.
// Cost: changes are linear in the number of routes, without system calls;
//     Commit is one, and waits for the kernel's readers of the old table.
class IrqRouting {
 public:
  // A pin of an in-kernel controller.
  struct PinRoute {
    uint32_t chip = 0;  // KVM_IRQCHIP_PIC_MASTER, _PIC_SLAVE or _IOAPIC
    uint32_t pin = 0;   // below 8 on a PIC, below 24 on the IOAPIC
  };
  // A synthetic interrupt source of a Hyper-V guest.
  struct HyperVSintRoute {
    uint32_t vcpu_index = 0;
    uint32_t sint = 0;
  };
  // A Xen event channel, delivered as 2-level events.
  struct XenEventRoute {
    uint32_t port = 0;
    uint32_t vcpu_id = 0;
  };

  // An empty table. kUnimplemented without KVM_CAP_IRQ_ROUTING.
  static absl::StatusOr<IrqRouting> Create(const Vm& vm);

  IrqRouting(IrqRouting&&) noexcept;
  IrqRouting& operator=(IrqRouting&&) noexcept;
  ~IrqRouting();

  // GSIs lie below this, and so many routes fit (KVM_CAP_IRQ_ROUTING).
  [[nodiscard]] uint32_t gsi_limit() const { return gsi_limit_; }

  // KVM's own routes for the full irqchip: GSI 0 to 15 to the pins of the PICs
  // and to the same pin of the IOAPIC, GSI 16 to 23 to the IOAPIC alone. On an
  // error the table is as it was.
  absl::Status AddDefaultRoutes();

  // Adds a pin to a GSI. One GSI may go to one pin of each chip, and then to
  // nothing else. kInvalidArgument for a pin that the chip does not have.
  absl::Status AddPin(uint32_t gsi, PinRoute route);

  // The GSI's one route is now this; whatever it had is forgotten. The message
  // may be a guest's choice: an address with any of bits 39:32 set, which no
  // MSI format has, is kept but leads nowhere. HasRoute is then false, Commit
  // leaves the entry out, and the GSI stays taken for FindFreeGsi.
  absl::Status SetMsi(uint32_t gsi, const Msi& msi);
  absl::Status SetHyperVSint(uint32_t gsi, HyperVSintRoute route);
  absl::Status SetXenEvent(uint32_t gsi, XenEventRoute route);

  // Forgets the routes of one GSI, or all.
  void Remove(uint32_t gsi);
  void Clear();

  // True when the table, as changed so far, leads the GSI anywhere; or to a
  // pin, where it can be level-triggered.
  [[nodiscard]] bool HasRoute(uint32_t gsi) const;
  [[nodiscard]] bool HasPinRoute(uint32_t gsi) const;

  // The lowest GSI at or above `first` for which nothing was set; nothing when
  // there is none.
  [[nodiscard]] std::optional<uint32_t> FindFreeGsi(uint32_t first = 24) const;

  // The routes in the order they were added, for saving; messages that lead
  // nowhere are among them.
  [[nodiscard]] const std::vector<kvm_irq_routing_entry>& entries() const {
    return entries_;
  }

  // Gives the table to the kernel, which takes all of it or none.
  // kInvalidArgument: the kernel refuses a route, for example to a pin when the
  // VM has no such chip.
  absl::Status Commit() const;

 private:
  IrqRouting(std::shared_ptr<const VmFd> vm, uint32_t gsi_limit);

  absl::Status CheckGsi(uint32_t gsi) const;
  absl::Status AddDefaultPins();
  absl::Status Replace(const kvm_irq_routing_entry& entry);

  std::shared_ptr<const VmFd> vm_;
  uint32_t gsi_limit_ = 0;
  std::vector<kvm_irq_routing_entry> entries_;
};

}  // namespace libvmm

#endif  // LIBVMM_KVM_IRQ_ROUTING_H_
