// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_KVM_IRQ_FD_H_
#define LIBVMM_KVM_IRQ_FD_H_

#include <cstdint>
#include <memory>
#include <optional>

#include "absl/status/statusor.h"
#include "libvmm/base/event_fd.h"
#include "libvmm/kvm/irq_routing.h"
#include "libvmm/kvm/vm.h"

namespace libvmm {

// An eventfd bound to a GSI inside the kernel (KVM_IRQFD): signalling the
// eventfd raises the interrupt with no further system call, from any thread or
// process that holds it. Without `resample` each signal is an edge.
//
// A level-triggered line that several devices share uses `resample`: a signal
// raises the line; when the guest ends the interrupt, KVM lowers it and signals
// the resample eventfd, and a device that still wants service signals again.
//
// Thread-safety: thread-compatible; the eventfds themselves are thread-safe.
// Ownership: move-only; the destructor unbinds. Holds duplicates of the
//     eventfds, so the caller's may be closed at any time, and keeps the VM's
//     descriptor open. Signals given before the destructor may still be
//     delivered by it.
// Errors: KVM accepts GSIs that lead nowhere; the routing table given here is
//     asked instead. kOutOfRange for a GSI no table can have;
//     kFailedPrecondition for one without a route, or without a pin when
//     `resample` is used; kFailedPrecondition (EBUSY) for an eventfd that is
//     bound already; kInvalidArgument without an in-kernel irqchip.
// Cost: two system calls, three with `resample`; none per interrupt beyond the
//     write(2) of the signaller.
class IrqFd {
 public:
  struct Options {
    uint32_t gsi = 0;
    // Lent for the call: signalled by KVM on the guest's end of interrupt.
    const EventFd* resample = nullptr;
  };

  // `routing` is the VM's table, committed or about to be; lent for the call.
  static absl::StatusOr<IrqFd> Create(const Vm& vm, const EventFd& trigger,
                                      const IrqRouting& routing,
                                      const Options& options);

  IrqFd(IrqFd&&) noexcept = default;
  IrqFd& operator=(IrqFd&& other) noexcept;
  ~IrqFd();

  [[nodiscard]] uint32_t gsi() const { return gsi_; }

 private:
  IrqFd(std::shared_ptr<const VmFd> vm, EventFd trigger,
        std::optional<EventFd> resample, uint32_t gsi);

  void Deassign();

  // Null when moved from.
  std::shared_ptr<const VmFd> vm_;
  EventFd trigger_;
  std::optional<EventFd> resample_;
  uint32_t gsi_ = 0;
};

}  // namespace libvmm

#endif  // LIBVMM_KVM_IRQ_FD_H_
