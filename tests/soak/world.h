// SPDX-License-Identifier: Apache-2.0
#ifndef TESTS_SOAK_WORLD_H_
#define TESTS_SOAK_WORLD_H_

#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "libvmm/base/mutex.h"
#include "libvmm/kvm/kvm.h"
#include "tests/soak/counts.h"
#include "tests/soak/guest_vcpu.h"
#include "tests/soak/irq_lines.h"
#include "tests/soak/machine.h"

namespace libvmm::soak {

// A place for something that threads share and replace.
//
// Thread-safety: thread-safe.
template <typename T>
class SharedPlace {
 public:
  [[nodiscard]] std::shared_ptr<T> Get() {
    MutexLock lock(mutex_);
    return value_;
  }
  // Returns the old value, so that it does not end under the lock.
  std::shared_ptr<T> Exchange(std::shared_ptr<T> value) {
    MutexLock lock(mutex_);
    return std::exchange(value_, std::move(value));
  }

 private:
  Mutex mutex_;
  std::shared_ptr<T> value_ ABSL_GUARDED_BY(mutex_);
};

// What the threads of the soak share: VMs in cells, saved states on shelves.
//
// Thread-safety: thread-safe.
struct World {
  World(const Kvm& the_kvm, Counts& the_counts, size_t cell_count,
        size_t shelf_count, size_t thread_count)
      : kvm(the_kvm),
        counts(the_counts),
        threads(thread_count),
        cells(cell_count),
        vcpu_shelves(shelf_count),
        vm_shelves(shelf_count) {}

  const Kvm& kvm;
  Counts& counts;
  const size_t threads;
  std::vector<SharedPlace<Machine>> cells;
  std::vector<SharedPlace<const VcpuSnapshot>> vcpu_shelves;
  std::vector<SharedPlace<const VmState>> vm_shelves;
};

}  // namespace libvmm::soak

#endif  // TESTS_SOAK_WORLD_H_
