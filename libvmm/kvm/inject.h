// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_KVM_INJECT_H_
#define LIBVMM_KVM_INJECT_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "libvmm/kvm/vcpu.h"

namespace libvmm {

// Interrupts given to a vCPU directly, by a VM whose interrupt controller (or
// part of it) lives in the host program. Each is delivered at the next Run.
//
// Thread-safety: as Vcpu, not while it runs: another thread kicks it first.
// Cost: one vCPU ioctl each. No allocation but on an error.

// KVM_INTERRUPT: queues an external interrupt with this vector, as the answer
// of a PIC or IOAPIC in user space. To be called only when the guest can take
// it (the run page says ready_for_interrupt_injection).
//   no in-kernel controller  the new vector takes the place of one that still
//                            waits: keep own account of what is queued
//   split controller         false when one waits already; nothing is changed
//   full controller          kFailedPrecondition: raise a line or an MSI
//                            instead
absl::StatusOr<bool> QueueInterrupt(Vcpu& vcpu, uint8_t vector);

// KVM_NMI: queues a non-maskable interrupt. The kernel keeps at most two.
absl::Status QueueNmi(Vcpu& vcpu);

// KVM_SMI: queues a system-management interrupt. kUnimplemented names
// KVM_CAP_X86_SMM.
absl::Status QueueSmi(Vcpu& vcpu);

}  // namespace libvmm

#endif  // LIBVMM_KVM_INJECT_H_
