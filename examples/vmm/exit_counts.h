// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_EXAMPLES_VMM_EXIT_COUNTS_H_
#define LIBVMM_EXAMPLES_VMM_EXIT_COUNTS_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "libvmm/base/mutex.h"
#include "libvmm/kvm/exit.h"
#include "libvmm/platform/pc.h"

namespace vmm {

// Counts a machine's exits to this process by reason and, for PIO and MMIO, by
// direction and address.
//
// Thread-safety: Observe and AddVcpu on one thread, while nothing counts; then
//     each VcpuCounts on its vCPU's thread, and Table on any.
// Cost: an uncontended lock and a search for each exit.
class ExitCounts {
 public:
  // What one vCPU counts, so that vCPUs do not wait for each other.
  class VcpuCounts {
   public:
    void Count(const libvmm::Exit& exit);

   private:
    friend class ExitCounts;
    struct Key {
      libvmm::ExitReason reason;
      bool is_write;
      uint64_t address;
      auto operator<=>(const Key&) const = default;
    };

    libvmm::Mutex mutex_;
    std::map<Key, uint64_t> counts_ ABSL_GUARDED_BY(mutex_);
  };

  // Counts all vCPUs of `pc` from now on, on top of what was counted; this
  // object must outlive their last Run.
  void Observe(libvmm::Pc& pc);
  // The counts of vCPU `index`, which live as long as this object.
  VcpuCounts& OfVcpu(size_t index);

  // One line for each kind of exit, most frequent first, those that are as
  // frequent by reason and address, between a heading and the sum.
  [[nodiscard]] std::string Table() const;

 private:
  using Key = VcpuCounts::Key;

  std::vector<std::unique_ptr<VcpuCounts>> vcpus_;
};

}  // namespace vmm

#endif  // LIBVMM_EXAMPLES_VMM_EXIT_COUNTS_H_
