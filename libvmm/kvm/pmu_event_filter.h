// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_KVM_PMU_EVENT_FILTER_H_
#define LIBVMM_KVM_PMU_EVENT_FILTER_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "libvmm/kvm/vm.h"

namespace libvmm {

// Which events a guest's performance counters may count
// (KVM_SET_PMU_EVENT_FILTER). A counter set to a forbidden event counts
// nothing.
struct PmuEventFilter {
  enum class Action : uint8_t {
    kAllow,  // only the events listed
    kDeny,   // all but those
  };

  Action action = Action::kAllow;
  // Bit n: fixed counter n. Listed counters are allowed or denied as events
  // are.
  uint32_t fixed_counters = 0;
  // Events in the encoding of the processor's event-select registers (Intel SDM
  // volume 3, IA32_PERFEVTSELx): event in bits 7:0 (AMD also 35:32), unit mask
  // in 15:8, all else zero. At most 300.
  std::vector<uint64_t> events = {};
  // `events` are in KVM's masked form, in which one names many unit masks.
  // Needs KVM_CAP_PMU_EVENT_MASKED_EVENTS.
  bool masked = false;
};

// Replaces the VM's filter. kInvalidArgument for more than 300 events, or for
// an encoding that the kernel refuses; kUnimplemented names the capability.
//
// Thread-safety: thread-safe.
// Cost: two system calls and a copy; every vCPU programs its counters anew.
absl::Status SetPmuEventFilter(const Vm& vm, const PmuEventFilter& filter);

}  // namespace libvmm

#endif  // LIBVMM_KVM_PMU_EVENT_FILTER_H_
