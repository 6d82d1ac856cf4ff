// SPDX-License-Identifier: Apache-2.0
#include "examples/vmm/vcpu_threads.h"

#include <poll.h>
#include <signal.h>

#include <system_error>

#include "absl/strings/str_cat.h"
#include "libvmm/base/errno_status.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/kvm/vcpu_thread.h"

namespace vmm {

using namespace libvmm;

namespace {

constexpr int kKickSignal = SIGUSR1;

}  // namespace

VcpuThreads::VcpuThreads(Pc& pc, const EventFd& done)
    : pc_(pc), done_(done), running_(pc.vcpus().size()) {
  threads_.reserve(pc.vcpus().size());
  for (const std::unique_ptr<PcVcpu>& vcpu : pc.vcpus()) {
    try {
      threads_.emplace_back([this, &vcpu = *vcpu] { Run(vcpu); });
    } catch (const std::system_error& error) {
      Fail(ErrnoStatus(error.code().value(),
                       absl::StrCat("a thread for vCPU ", vcpu->vcpu().id())));
      running_ -= pc.vcpus().size() - threads_.size();
      done_.Signal();
      return;
    }
  }
}

absl::Status VcpuThreads::Join() {
  for (std::thread& thread : threads_) {
    if (thread.joinable()) thread.join();
  }
  const MutexLock lock(mutex_);
  return failure_;
}

void VcpuThreads::Fail(const absl::Status& status) {
  {
    const MutexLock lock(mutex_);
    failure_.Update(status);
  }
  pc_.Stop({.reason = PcStopReason::kFailed, .source = "the host"});
}

void VcpuThreads::Run(PcVcpu& vcpu) {
  const absl::Status status = RunUntilStopped(vcpu);
  if (!status.ok()) Fail(status);
  --running_;
  done_.Signal();
}

absl::Status VcpuThreads::RunUntilStopped(PcVcpu& vcpu) {
  LIBVMM_RETURN_IF_ERROR(VcpuThread::InstallKickHandler(kKickSignal));
  LIBVMM_ASSIGN_OR_RETURN(VcpuThread thread, VcpuThread::Attach(kKickSignal));
  while (true) {
    LIBVMM_ASSIGN_OR_RETURN(const PcRunResult result, vcpu.Run(thread));
    switch (result) {
      case PcRunResult::kStopped:
        return absl::OkStatus();
      case PcRunResult::kKicked:
      case PcRunResult::kInterrupted:
      case PcRunResult::kDeadline:
      case PcRunResult::kDevice:
        break;
      case PcRunResult::kHalted: {
        pollfd wake{.fd = vcpu.wake_fd(), .events = POLLIN, .revents = 0};
        poll(&wake, 1, -1);
        break;
      }
      case PcRunResult::kDeferred:  // no device here defers
      case PcRunResult::kOther:
        return absl::InternalError(
            absl::StrCat("vCPU ", vcpu.vcpu().id(), " came out with ",
                         ExitReasonName(vcpu.exit()->reason())));
    }
  }
}

}  // namespace vmm
