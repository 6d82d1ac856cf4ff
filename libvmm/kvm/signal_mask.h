// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_KVM_SIGNAL_MASK_H_
#define LIBVMM_KVM_SIGNAL_MASK_H_

#include <csignal>

#include "absl/status/status.h"
#include "libvmm/kvm/vcpu.h"

namespace libvmm {

// KVM_SET_SIGNAL_MASK: the signals blocked while the thread is inside Run, in
// the place of its own mask. The older way to end a Run: a signal is blocked
// outside and open inside, so that one which came early still ends the next Run
// with kInterrupted. It costs two changes of the mask per Run and scales worse;
// Kicker does without. Not to be mixed with Kicker on one vCPU.
//
// Thread-safety: as Vcpu, not while it runs.
// Cost: one vCPU ioctl.
absl::Status SetRunSignalMask(const Vcpu& vcpu, const sigset_t& blocked);

// Run keeps the thread's own mask again, as at creation.
absl::Status ClearRunSignalMask(const Vcpu& vcpu);

}  // namespace libvmm

#endif  // LIBVMM_KVM_SIGNAL_MASK_H_
