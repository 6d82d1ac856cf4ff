// SPDX-License-Identifier: Apache-2.0
// A machine on the only thread of a program that has no loop.
#include <signal.h>

#include "examples/loops/inline_loop.h"
#include "examples/loops/program.h"
#include "libvmm/base/status_macros.h"

namespace {

using libvmm::PcRunResult;
using libvmm::VcpuThread;

absl::Status Serve(loops::Machine& machine) {
  const libvmm::SystemClock clock;
  LIBVMM_RETURN_IF_ERROR(VcpuThread::InstallKickHandler(SIGUSR1));
  LIBVMM_ASSIGN_OR_RETURN(VcpuThread thread, VcpuThread::Attach(SIGUSR1));
  while (true) {
    LIBVMM_ASSIGN_OR_RETURN(
        const PcRunResult result,
        loops::RunInline(machine.vcpu(), thread, machine.event_sources(), clock,
                         /*slice=*/absl::InfiniteDuration()));
    if (result == PcRunResult::kStopped) return absl::OkStatus();
    if (result != PcRunResult::kKicked) {
      return absl::InternalError("an exit that this machine has no use for");
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  return loops::RunProgram(argc, argv, "between two runs of its vCPU", Serve);
}
