// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_EXAMPLES_VMM_EXIT_COUNTS_H_
#define LIBVMM_EXAMPLES_VMM_EXIT_COUNTS_H_

#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "libvmm/base/mutex.h"
#include "libvmm/kvm/exit.h"
#include "libvmm/platform/pc.h"

namespace vmm {

// Counts a machine's exits to this process by reason and, for PIO and MMIO, by
// direction and address.
class ExitCounts {
 public:
  // Counts all vCPUs of `pc` from now on, on top of what was counted; this
  // object must outlive their last Run.
  void Observe(libvmm::Pc& pc);
  // A table, most frequent first.
  void Print();

 private:
  struct Key {
    libvmm::ExitReason reason;
    bool is_write;
    uint64_t address;
    auto operator<=>(const Key&) const = default;
  };
  using Counts = std::map<Key, uint64_t>;
  // One for each vCPU, so that they do not wait for each other.
  struct PerVcpu {
    libvmm::Mutex mutex;
    Counts counts ABSL_GUARDED_BY(mutex);
  };

  static void Count(const libvmm::Exit& exit, PerVcpu& vcpu);

  std::vector<std::unique_ptr<PerVcpu>> vcpus_;
};

}  // namespace vmm

#endif  // LIBVMM_EXAMPLES_VMM_EXIT_COUNTS_H_
