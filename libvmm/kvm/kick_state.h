// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_KVM_KICK_STATE_H_
#define LIBVMM_KVM_KICK_STATE_H_

// Internal: what a Vcpu, its Kickers and the VcpuThread that runs it share.

#include <sys/types.h>

#include <atomic>
#include <cstdint>

#include "libvmm/base/asymmetric_fence.h"
#include "libvmm/base/mapping.h"

namespace libvmm::internal {

// Who runs a vCPU: a kernel thread id and the signal that gets it out of
// KVM_RUN, in one word so that a kicker reads both at once. Zero: nobody.
using Runner = uint64_t;
constexpr Runner PackRunner(pid_t tid, int signal) {
  return (static_cast<uint64_t>(static_cast<uint32_t>(tid)) << 32) |
         static_cast<uint32_t>(signal);
}
constexpr pid_t RunnerTid(Runner runner) {
  return static_cast<pid_t>(runner >> 32);
}
constexpr int RunnerSignal(Runner runner) {
  return static_cast<int>(runner & 0xffffffff);
}

struct KickState {
  explicit KickState(Mapping page) : run_page(std::move(page)) {}

  // kvm_run.immediate_exit, which kickers, the vCPU thread, its signal handler
  // and the kernel all touch.
  [[nodiscard]] std::atomic_ref<uint8_t> immediate_exit() const;

  // Set by a kick before immediate_exit, taken by the Run that reports it.
  std::atomic<bool> requested{false};
  // Stored by VcpuThread around KVM_RUN. Pairs with the load in Kicker::Kick:
  // either the kicker sees the runner, or the kernel sees immediate_exit.
  std::atomic<Runner> runner{0};
  AsymmetricFence fence;
  // Outlives the Vcpu so that a late kick writes into memory of ours; the Vcpu
  // leaves anonymous pages in the place of the kernel's.
  Mapping run_page;
};

}  // namespace libvmm::internal

#endif  // LIBVMM_KVM_KICK_STATE_H_
