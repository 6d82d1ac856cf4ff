// SPDX-License-Identifier: Apache-2.0
#include "examples/sandbox_run/host_end.h"

#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <memory>
#include <utility>

#include "absl/time/clock.h"
#include "libvmm/base/errno_status.h"

namespace sandbox_run {

using namespace libvmm;
using sandbox::Killer;
using sandbox::SleepResult;
using sandbox::StandardStreams;

namespace {

// For the handler, which has no argument. Set before it is installed.
std::unique_ptr<Killer> killer_of_all;
std::atomic<int> signal_that_came = 0;
int wake_fd = -1;

void OnSignal(int number) {
  const int saved_errno = errno;
  signal_that_came = number;
  killer_of_all->Kill();
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = ::write(wake_fd, &one, sizeof(one));
  errno = saved_errno;
}

int64_t WriteTo(int fd, std::span<const std::byte> from) {
  while (true) {
    const ssize_t written = ::write(fd, from.data(), from.size());
    if (written >= 0) return written;
    if (errno != EINTR) return -errno;
    if (signal_that_came != 0) return -EINTR;
  }
}

}  // namespace

absl::Status HostEnd::CatchSignals(Killer killer) {
  killer_of_all = std::make_unique<Killer>(std::move(killer));
  wake_fd = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (wake_fd < 0) return ErrnoStatus(errno, "eventfd");
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) {
    struct sigaction action = {};
    if (::sigaction(number, nullptr, &action) != 0) {
      return ErrnoStatus(errno, "sigaction");
    }
    if (action.sa_handler == SIG_IGN) continue;
    // A write that blocks is to end.
    action.sa_flags = 0;
    action.sa_handler = OnSignal;
    if (::sigaction(number, &action, nullptr) != 0) {
      return ErrnoStatus(errno, "sigaction");
    }
  }
  return absl::OkStatus();
}

std::optional<int> HostEnd::signal() {
  const int number = signal_that_came;
  return number == 0 ? std::nullopt : std::optional(number);
}

bool HostEnd::expired() const { return absl::Now() >= deadline_; }

std::optional<absl::Duration> HostEnd::left() const {
  if (deadline_ == absl::InfiniteFuture()) return std::nullopt;
  return deadline_ - absl::Now();
}

bool HostEnd::Wait(int fd, absl::Duration longest) const {
  const absl::Duration time = std::max(
      std::min(longest, deadline_ - absl::Now()), absl::ZeroDuration());
  const timespec limit = absl::ToTimespec(time);
  pollfd fds[] = {{.fd = wake_fd, .events = POLLIN, .revents = 0},
                  {.fd = fd, .events = POLLIN, .revents = 0}};
  return ::ppoll(fds, std::size(fds),
                 time == absl::InfiniteDuration() ? nullptr : &limit,
                 nullptr) > 0 &&
         fds[1].revents != 0 && fds[0].revents == 0;
}

StandardStreams HostEnd::Streams() {
  return {
      .input = [this](std::span<std::byte> to) -> int64_t {
        // "Not now" suspends the program, and the main loop looks why.
        if (!Wait(STDIN_FILENO, absl::InfiniteDuration())) return -EAGAIN;
        const ssize_t size = ::read(STDIN_FILENO, to.data(), to.size());
        if (size >= 0) return size;
        return errno == EINTR ? -EAGAIN : -errno;
      },
      .output =
          [](std::span<const std::byte> from) {
            return WriteTo(STDOUT_FILENO, from);
          },
      .errors =
          [](std::span<const std::byte> from) {
            return WriteTo(STDERR_FILENO, from);
          },
      .terminal = ::isatty(STDIN_FILENO) == 1 && ::isatty(STDOUT_FILENO) == 1,
  };
}

SleepResult HostEnd::Sleep(absl::Duration duration) {
  const absl::Time end = absl::Now() + duration;
  Wait(-1, duration);
  return absl::Now() >= end ? SleepResult::kSlept : SleepResult::kPending;
}

}  // namespace sandbox_run
