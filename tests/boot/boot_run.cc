// SPDX-License-Identifier: Apache-2.0
#include "tests/boot/boot_run.h"

#include <memory>
#include <span>
#include <utility>

#include "absl/strings/match.h"
#include "examples/loops/inline_loop.h"
#include "examples/vmm/vcpu_threads.h"
#include "libvmm/base/clock.h"
#include "libvmm/base/event_fd.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/platform/pc.h"

namespace libvmm::boot_test {
namespace {

// Serves the machine's sources until its threads have ended.
absl::Status Serve(Pc& pc, const vmm::VcpuThreads& threads, const EventFd& done,
                   absl::Duration end) {
  const SystemClock clock;
  while (!threads.all_ended()) {
    LIBVMM_RETURN_IF_ERROR(loops::ServeSources(
        pc.event_sources(), clock, end - clock.Monotonic(), done.fd()));
    (void)done.Drain();
    if (clock.Monotonic() < end) continue;
    pc.Stop({.reason = PcStopReason::kFailed, .source = "time limit"});
    end = absl::InfiniteDuration();
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<BootRun> RunToStop(const Kvm& kvm, const PcConfig& config,
                                  absl::string_view marker,
                                  absl::Duration limit, BootHost host) {
  BootRun run;
  const SystemClock clock;
  const absl::Duration begin = clock.Monotonic();
  std::unique_ptr<Pc> pc;
  host.pc.serial[0].output = [&](std::span<const std::byte> bytes) {
    run.console.append(reinterpret_cast<const char*>(bytes.data()),
                       bytes.size());
    if (run.to_marker == absl::InfiniteDuration() &&
        absl::EndsWith(run.console, "\n") &&
        absl::StrContains(run.console, marker)) {
      run.to_marker = clock.Monotonic() - begin;
    }
    if (host.heard) host.heard(*pc, run.console);
  };
  LIBVMM_ASSIGN_OR_RETURN(const EventFd done, EventFd::Create());
  LIBVMM_ASSIGN_OR_RETURN(pc, Pc::Create(kvm, config, std::move(host.pc)));
  vmm::VcpuThreads threads(*pc, done);
  const absl::Status served = Serve(*pc, threads, done, begin + limit);
  if (!served.ok()) {
    pc->Stop({.reason = PcStopReason::kFailed, .source = "the loop"});
  }
  LIBVMM_RETURN_IF_ERROR(threads.Join());
  LIBVMM_RETURN_IF_ERROR(served);
  run.stop = *pc->stop();
  return run;
}

}  // namespace libvmm::boot_test
