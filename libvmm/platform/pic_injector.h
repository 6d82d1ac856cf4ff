// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_PLATFORM_PIC_INJECTOR_H_
#define LIBVMM_PLATFORM_PIC_INJECTOR_H_

#include "absl/status/status.h"
#include "libvmm/devices/interrupt/pic_8259a.h"
#include "libvmm/kvm/vcpu.h"

namespace libvmm {

// The wire from a PIC in this process to the boot CPU (KVM_INTERRUPT), for VMs
// with a split irqchip or none. The PIC is acknowledged only when the vCPU can
// take the interrupt at once; until then KVM is asked to exit when it can
// (KVM_EXIT_IRQ_WINDOW_OPEN).
//
// Whoever raises INTR while the vCPU runs kicks it, so that it comes here.
//
// Thread-safety: vCPU-thread.
// Ownership: refers to the PIC.
// Errors: of the host.
// Cost: a lock when nothing is pending; a vCPU ioctl for each interrupt.
class PicInjector {
 public:
  explicit PicInjector(Pic8259a& pic) : pic_(pic) {}

  // Before each Run of the boot CPU.
  absl::Status BeforeEntry(Vcpu& vcpu);

 private:
  Pic8259a& pic_;
};

}  // namespace libvmm

#endif  // LIBVMM_PLATFORM_PIC_INJECTOR_H_
