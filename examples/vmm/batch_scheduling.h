// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_EXAMPLES_VMM_BATCH_SCHEDULING_H_
#define LIBVMM_EXAMPLES_VMM_BATCH_SCHEDULING_H_

#include <sched.h>

namespace vmm {

// While it lives the calling thread has Linux's policy SCHED_BATCH: where a
// processor is idle it runs as ever, but when it wakes it takes none away from
// another thread before that sleeps or its slice is over.
//
// For the loop that serves a guest's queues: the vCPU that notified it goes on
// and makes more requests available, which are then served, and interrupted
// for, together. docs/performance.md has what that brings on one processor.
// Threads that are started meanwhile have the policy, too.
class BatchScheduling {
 public:
  // A system that refuses leaves the policy as it is.
  BatchScheduling() { Set(SCHED_BATCH); }
  BatchScheduling(const BatchScheduling&) = delete;
  BatchScheduling& operator=(const BatchScheduling&) = delete;
  ~BatchScheduling() { Set(before_); }

 private:
  static void Set(int policy) {
    const sched_param parameters = {};
    (void)::sched_setscheduler(0, policy, &parameters);
  }

  const int before_ = ::sched_getscheduler(0);
};

}  // namespace vmm

#endif  // LIBVMM_EXAMPLES_VMM_BATCH_SCHEDULING_H_
