// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_PLATFORM_EOI_ROUTES_H_
#define LIBVMM_PLATFORM_EOI_ROUTES_H_

#include <cstddef>
#include <cstdint>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "libvmm/base/mutex.h"
#include "libvmm/devices/interrupt/io_apic.h"
#include "libvmm/kvm/irq_routing.h"

namespace libvmm {

// What KVM's split irqchip must know of an IOAPIC in this process: for which
// vectors to exit when a CPU ends them (KVM_EXIT_IOAPIC_EOI). KVM takes that
// from the level-triggered MSIs in the routing table at the GSIs that it keeps
// for the IOAPIC's pins.
//
// Thread-safety: thread-safe.
// Ownership: owns the table. It is the VM's only one.
// Errors: none. KVM refuses no such table but for want of memory; the guest
//     then waits for the end of an interrupt for ever.
// Cost: a system call when a level-triggered pin changes, none otherwise.
class EoiRoutes {
 public:
  explicit EoiRoutes(IrqRouting routing) : routing_(std::move(routing)) {}

  // `io_apic` is asked for the pin's route under the lock, so that of two
  // changes that race the last one is in the table.
  void Update(size_t pin, const IoApic& io_apic) {
    const MutexLock lock(mutex_);
    const auto gsi = static_cast<uint32_t>(pin);
    const IoApicRoute route = io_apic.Route(pin);
    if (route.level && route.msi.has_value()) {
      // Every pin is a GSI that the table can have.
      (void)routing_.SetMsi(gsi, *route.msi);
    } else if (routing_.HasRoute(gsi)) {
      routing_.Remove(gsi);
    } else {
      return;
    }
    (void)routing_.Commit();
  }

 private:
  Mutex mutex_;
  IrqRouting routing_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace libvmm

#endif  // LIBVMM_PLATFORM_EOI_ROUTES_H_
