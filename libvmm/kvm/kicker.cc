// SPDX-License-Identifier: Apache-2.0
#include "libvmm/kvm/kicker.h"

#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/kick_state.h"

namespace libvmm {

std::atomic_ref<uint8_t> internal::KickState::immediate_exit() const {
  return std::atomic_ref<uint8_t>(
      reinterpret_cast<kvm_run*>(run_page.data())->immediate_exit);
}

void Kicker::Kick() const {
  const int saved_errno = errno;
  state_->requested.store(true);
  state_->immediate_exit().store(1);
  state_->fence.Heavy();
  const internal::Runner runner = state_->runner.load();
  if (runner != 0) {
    // The thread may be out of KVM_RUN by now, or gone: then nothing is lost by
    // a signal that finds nobody there. EAGAIN is a full queue
    // (RLIMIT_SIGPENDING), which real-time signals can meet: it is tried again
    // for as long as the thread may be in the guest, since nothing else would
    // get it out.
    while (::syscall(SYS_tgkill, ::getpid(), internal::RunnerTid(runner),
                     internal::RunnerSignal(runner)) != 0 &&
           errno == EAGAIN && state_->runner.load() == runner) {
    }
  }
  errno = saved_errno;
}

}  // namespace libvmm
