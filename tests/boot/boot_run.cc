// SPDX-License-Identifier: Apache-2.0
#include "tests/boot/boot_run.h"

#include <poll.h>

#include <algorithm>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "examples/vmm/vcpu_threads.h"
#include "libvmm/base/clock.h"
#include "libvmm/base/event_fd.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/devices/event_source.h"
#include "libvmm/platform/pc.h"

namespace libvmm::boot_test {
namespace {

// Serves the machine's sources until its threads have ended.
void Serve(Pc& pc, const vmm::VcpuThreads& threads, const EventFd& done,
           absl::Duration end) {
  const SystemClock clock;
  while (!threads.all_ended()) {
    std::vector<pollfd> fds = {
        {.fd = done.fd(), .events = POLLIN, .revents = 0}};
    absl::Duration deadline = end;
    for (const EventSource* source : pc.event_sources()) {
      fds.push_back({.fd = source->events() != 0 ? source->fd() : -1,
                     .events = source->events(),
                     .revents = 0});
      deadline = std::min(deadline, source->NextDeadline());
    }
    const absl::Duration left =
        std::max(deadline - clock.Monotonic(), absl::ZeroDuration());
    if (::poll(fds.data(), fds.size(),
               static_cast<int>(absl::ToInt64Milliseconds(
                   absl::Ceil(left, absl::Milliseconds(1))))) < 0) {
      continue;
    }
    if (fds[0].revents != 0) (void)done.Drain();
    for (size_t i = 1; i < fds.size(); ++i) {
      EventSource& source = *pc.event_sources()[i - 1];
      if (fds[i].revents != 0) source.OnReady(fds[i].revents);
      if (source.NextDeadline() <= clock.Monotonic()) source.OnDeadline();
    }
    if (clock.Monotonic() >= end) {
      pc.Stop({.reason = PcStopReason::kFailed, .source = "time limit"});
      end = absl::InfiniteDuration();
    }
  }
}

}  // namespace

absl::StatusOr<BootRun> RunToStop(const Kvm& kvm, const PcConfig& config,
                                  absl::string_view marker,
                                  absl::Duration limit) {
  BootRun run;
  const SystemClock clock;
  const absl::Duration begin = clock.Monotonic();
  PcHost host;
  host.serial[0].output = [&](std::span<const std::byte> bytes) {
    run.console.append(reinterpret_cast<const char*>(bytes.data()),
                       bytes.size());
    if (run.to_marker == absl::InfiniteDuration() &&
        absl::EndsWith(run.console, "\n") &&
        absl::StrContains(run.console, marker)) {
      run.to_marker = clock.Monotonic() - begin;
    }
  };
  LIBVMM_ASSIGN_OR_RETURN(const EventFd done, EventFd::Create());
  LIBVMM_ASSIGN_OR_RETURN(std::unique_ptr<Pc> pc,
                          Pc::Create(kvm, config, std::move(host)));
  vmm::VcpuThreads threads(*pc, done);
  Serve(*pc, threads, done, begin + limit);
  LIBVMM_RETURN_IF_ERROR(threads.Join());
  run.stop = *pc->stop();
  return run;
}

}  // namespace libvmm::boot_test
