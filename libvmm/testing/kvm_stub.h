// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_TESTING_KVM_STUB_H_
#define LIBVMM_TESTING_KVM_STUB_H_

#include "absl/status/statusor.h"
#include "libvmm/kvm/kvm.h"
#include "libvmm/kvm/vcpu.h"

struct kvm_run;

namespace libvmm::testing {

// A KVM that is only a function: measures what libvmm itself costs, without the
// kernel, a guest or /dev/kvm. In a program that links this library the linker
// (--wrap=ioctl) leads every ioctl of its own code here. There are VMs, vCPUs
// with a run page, and registers that stay as they are written there;
// everything else is ENOTTY. Not together with fault_injection, which wraps the
// same call.
//
// Thread-safety: thread-compatible.
// Cost: KVM_RUN is an indirect call and about ten instructions.

// A Kvm on a descriptor that answers the version, KVM_CAP_SYNC_REGS and the
// size of the run page.
absl::StatusOr<Kvm> OpenKvmStub();

// What KVM_RUN does from now on, for any vCPU: `run` writes an exit into the
// run page of `vcpu`, which must live on. Returns the vCPU's failure to map it.
absl::Status StubKvmRun(Vcpu& vcpu, void (*run)(kvm_run& page));

}  // namespace libvmm::testing

#endif  // LIBVMM_TESTING_KVM_STUB_H_
