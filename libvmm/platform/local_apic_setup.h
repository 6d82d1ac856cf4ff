// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_PLATFORM_LOCAL_APIC_SETUP_H_
#define LIBVMM_PLATFORM_LOCAL_APIC_SETUP_H_

#include "absl/status/status.h"
#include "libvmm/kvm/vcpu.h"

namespace libvmm {

// Wires the two local interrupt pins of a vCPU's in-kernel local APIC as a PC's
// firmware does (virtual wire mode: Intel MultiProcessor Specification 1.4,
// section 3.6.2.2; registers: Intel SDM volume 3, chapter 11.5.1): LINT0 takes
// the PIC's interrupts (ExtINT), LINT1 is the NMI. Both unmasked. Everything
// else stays as it was.
//
// After SetCpuid, for every vCPU, before its first Run.
//
// Thread-safety: as Vcpu, not while it runs.
// Errors: kFailedPrecondition when the VM has no in-kernel local APIC.
// Cost: two vCPU ioctls.
absl::Status WireLocalInterrupts(Vcpu& vcpu);

}  // namespace libvmm

#endif  // LIBVMM_PLATFORM_LOCAL_APIC_SETUP_H_
