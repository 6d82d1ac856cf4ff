// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_TESTING_KVM_FAULTS_H_
#define LIBVMM_TESTING_KVM_FAULTS_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "libvmm/kvm/kvm.h"
#include "libvmm/kvm/vcpu.h"
#include "libvmm/testing/fault_injection.h"

namespace libvmm::testing {

// What almost every scenario says: a capability that cannot be asked for counts
// as absent, a refused membarrier is made up for by full fences.
FaultScenario KvmScenario(const char* name);

// One /dev/kvm for the scenarios that are not about opening it. Opened at first
// use, outside the faults.
const Kvm& SharedKvm();

// Answers for FaultScenario::Answers, so that what this machine's KVM lacks can
// be tried all the same. To KVM_CHECK_EXTENSION: `value` for `capability`; the
// kernel answers for all others.
FaultScenario::Answer HasCapability(unsigned capability, int value);
// To KVM_ENABLE_CAP: success for `capability`.
FaultScenario::Answer EnablesCapability(unsigned capability);

// Runs until an exit that is no interruption (EINTR), at most ten times. EAGAIN
// is an error that names KVM_RUN: it means that INIT or SIPI has set the
// registers, so that the guest is not the scenario's any more.
absl::StatusOr<Exit> RunToExit(Vcpu& vcpu);

}  // namespace libvmm::testing

#endif  // LIBVMM_TESTING_KVM_FAULTS_H_
