// SPDX-License-Identifier: Apache-2.0
#ifndef TESTS_EXITS_EXIT_GUESTS_H_
#define TESTS_EXITS_EXIT_GUESTS_H_

#include "absl/status/status.h"

namespace libvmm::testing {

// Guests of a few instructions, each of which makes KVM_RUN return for one
// reason. A function makes its VM, runs the guest until that exit, and checks
// every field of the payload.
//
// OK: the exit came and was right. kUnimplemented: this KVM cannot give it, for
// the reason that the message gives. Another code: something was wrong.
//
// Each run is bounded by a Deadline, which uses SIGUSR1.

absl::Status ExitByPio();
absl::Status ExitByHypercall();
absl::Status ExitByDebug();
absl::Status ExitByHalt();
absl::Status ExitByMmio();
absl::Status ExitByInterruptWindow();
absl::Status ExitByShutdown();
absl::Status ExitByFailEntry();
absl::Status ExitBySignal();
absl::Status ExitBySetTpr();
absl::Status ExitByTprAccess();
absl::Status ExitByInternalError();
absl::Status ExitBySystemEvent();
absl::Status ExitByIoapicEoi();
absl::Status ExitByHyperV();
absl::Status ExitByRdmsr();
absl::Status ExitByWrmsr();
absl::Status ExitByDirtyRingFull();
absl::Status ExitByBusLock();
absl::Status ExitByXen();
absl::Status ExitByMemoryFault();

}  // namespace libvmm::testing

#endif  // TESTS_EXITS_EXIT_GUESTS_H_
