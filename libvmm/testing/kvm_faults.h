// SPDX-License-Identifier: Apache-2.0
#ifndef TESTS_FAULT_SCENARIOS_H_
#define TESTS_FAULT_SCENARIOS_H_

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "libvmm/kvm/kvm.h"
#include "libvmm/kvm/vcpu.h"
#include "libvmm/testing/fault_injection.h"

namespace libvmm::testing {

// Runs the scenario, prints its row, adds it to the totals that the program
// ends with, and fails the test for each thing that was wrong.
void Check(FaultScenario scenario, absl::FunctionRef<absl::Status()> body);

// What almost every scenario says: an absent KVM_CAP_SYNC_REGS is made up for
// by ioctls, a refused membarrier by full fences.
FaultScenario KvmScenario(const char* name);

// One /dev/kvm for the scenarios that are not about opening it. Opened at first
// use, outside the faults.
const Kvm& SharedKvm();

// Runs until an exit that is no interruption (EINTR), at most ten times. EAGAIN
// is an error that names KVM_RUN: it means that INIT or SIPI has set the
// registers, so that the guest is not the scenario's any more.
absl::StatusOr<Exit> RunToExit(Vcpu& vcpu);

// kInternal unless `condition`: for a body's own checks.
absl::Status Expect(bool condition, const char* what);

}  // namespace libvmm::testing

#endif  // TESTS_FAULT_SCENARIOS_H_
