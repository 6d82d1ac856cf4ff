// SPDX-License-Identifier: Apache-2.0
#include "examples/loops/inline_loop.h"

#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <vector>

#include "libvmm/base/errno_status.h"
#include "libvmm/base/status_macros.h"

namespace loops {

using namespace libvmm;

namespace {

// How long the guest runs at most before descriptors are looked at again.
constexpr absl::Duration kLongestRun = absl::Milliseconds(1);

absl::Duration NextDeadline(std::span<EventSource* const> sources) {
  absl::Duration next = absl::InfiniteDuration();
  for (const EventSource* source : sources) {
    next = std::min(next, source->NextDeadline());
  }
  return next;
}

}  // namespace

absl::Status ServeSources(std::span<EventSource* const> sources,
                          const Clock& clock, absl::Duration max_wait,
                          int wake_fd) {
  std::vector<pollfd> fds = {{.fd = wake_fd, .events = POLLIN, .revents = 0}};
  for (const EventSource* source : sources) {
    const short events = source->events();
    // Negative: poll(2) passes over it.
    fds.push_back({.fd = events != 0 ? source->fd() : -1,
                   .events = events,
                   .revents = 0});
  }
  const absl::Duration wait =
      std::min(max_wait, NextDeadline(sources) - clock.Monotonic());
  const timespec timeout =
      absl::ToTimespec(std::max(wait, absl::ZeroDuration()));
  const int ready = ppoll(fds.data(), fds.size(),
                          wait == absl::InfiniteDuration() ? nullptr : &timeout,
                          /*sigmask=*/nullptr);
  if (ready < 0 && errno != EINTR) return ErrnoStatus(errno, "ppoll");
  for (size_t i = 0; i < sources.size(); ++i) {
    EventSource& source = *sources[i];
    const short revents = ready > 0 ? fds[i + 1].revents : short{0};
    if (revents != 0) source.OnReady(revents);
    if (source.NextDeadline() <= clock.Monotonic()) source.OnDeadline();
  }
  return absl::OkStatus();
}

absl::StatusOr<PcRunResult> RunInline(PcVcpu& vcpu, VcpuThread& thread,
                                      std::span<EventSource* const> sources,
                                      const Clock& clock,
                                      absl::Duration slice) {
  const absl::Duration end = clock.Monotonic() + slice;
  while (true) {
    LIBVMM_RETURN_IF_ERROR(
        ServeSources(sources, clock, /*max_wait=*/absl::ZeroDuration()));
    const absl::Duration now = clock.Monotonic();
    if (now >= end) return PcRunResult::kDeadline;
    LIBVMM_ASSIGN_OR_RETURN(
        const Deadline deadline,
        thread.StartDeadline({.after = std::min({kLongestRun, end - now,
                                                 NextDeadline(sources) - now}),
                              .exits = 1}));
    LIBVMM_ASSIGN_OR_RETURN(const PcRunResult result, vcpu.Run(thread));
    if (result == PcRunResult::kHalted) {
      LIBVMM_RETURN_IF_ERROR(ServeSources(
          sources, clock, end - clock.Monotonic(), vcpu.wake_fd()));
    } else if (result != PcRunResult::kDeadline &&
               result != PcRunResult::kInterrupted) {
      return result;
    }
  }
}

}  // namespace loops
