// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_EXAMPLES_VMM_VCPU_THREADS_H_
#define LIBVMM_EXAMPLES_VMM_VCPU_THREADS_H_

#include <atomic>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "libvmm/base/event_fd.h"
#include "libvmm/base/mutex.h"
#include "libvmm/platform/pc.h"

namespace vmm {

// A host thread for each vCPU of a machine, until the machine stops. SIGUSR1 is
// what ends their KVM_RUN.
//
// Thread-safety: Join on one thread; all_ended on any.
// Errors: a thread that cannot be started, or a failure of KVM_RUN, stops the
//     machine (PcStopReason::kFailed), and Join gives it.
// Cost: a thread for each vCPU; of its stack, what it touches, some 12 KiB.
class VcpuThreads {
 public:
  // Starts them. `done` is signalled when one of them has ended, and outlives
  // this, as the machine does.
  VcpuThreads(libvmm::Pc& pc, const libvmm::EventFd& done);
  VcpuThreads(const VcpuThreads&) = delete;
  VcpuThreads& operator=(const VcpuThreads&) = delete;
  // The machine has stopped by now, or a thread failed and stopped it.
  ~VcpuThreads() { (void)Join(); }

  // Waits for all, and gives the first failure of the host.
  absl::Status Join();
  [[nodiscard]] bool all_ended() const { return running_ == 0; }

 private:
  void Fail(const absl::Status& status);
  void Run(libvmm::PcVcpu& vcpu);
  absl::Status RunUntilStopped(libvmm::PcVcpu& vcpu);

  libvmm::Pc& pc_;
  const libvmm::EventFd& done_;
  std::atomic<size_t> running_;
  libvmm::Mutex mutex_;
  absl::Status failure_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::thread> threads_;
};

}  // namespace vmm

#endif  // LIBVMM_EXAMPLES_VMM_VCPU_THREADS_H_
