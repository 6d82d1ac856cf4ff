// SPDX-License-Identifier: Apache-2.0
#ifndef TESTS_SOAK_WRITE_LOG_H_
#define TESTS_SOAK_WRITE_LOG_H_

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "libvmm/base/mutex.h"
#include "libvmm/kvm/coalesced_mmio.h"
#include "libvmm/kvm/vcpu.h"
#include "libvmm/kvm/vm.h"
#include "tests/soak/guest_program.h"

namespace libvmm::soak {

// The words that the vCPUs of a VM store to their log addresses, as far as they
// come through the one ring of coalesced MMIO; the others come as exits.
//
// Thread-safety: thread-safe.
class WriteLog {
 public:
  // `vcpu` is any of the VM's, lent for the call.
  static absl::StatusOr<std::unique_ptr<WriteLog>> Create(const Vm& vm,
                                                          const Vcpu& vcpu);

  // Puts the vCPU's log address into a coalesced zone, or takes it out.
  absl::Status Toggle(size_t vcpu);

  // What the vCPU has stored since the last call, oldest first.
  absl::StatusOr<std::vector<uint32_t>> Take(size_t vcpu);

 private:
  explicit WriteLog(CoalescedMmio ring) : ring_(std::move(ring)) {}

  // Drained under mutex_; its zones are thread-safe.
  CoalescedMmio ring_;
  Mutex mutex_;
  std::array<std::vector<uint32_t>, kMaxVcpus> taken_ ABSL_GUARDED_BY(mutex_);
  // Apart from the ring's lock: zones change while others drain.
  Mutex zone_mutex_;
  std::array<std::optional<CoalescedMmio::Zone>, kMaxVcpus> zones_
      ABSL_GUARDED_BY(zone_mutex_);
};

}  // namespace libvmm::soak

#endif  // TESTS_SOAK_WRITE_LOG_H_
