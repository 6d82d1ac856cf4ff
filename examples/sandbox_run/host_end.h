// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_EXAMPLES_SANDBOX_RUN_HOST_END_H_
#define LIBVMM_EXAMPLES_SANDBOX_RUN_HOST_END_H_

#include <cstdint>
#include <optional>
#include <span>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "libvmm/sandbox/files/standard_streams.h"
#include "libvmm/sandbox/killer.h"
#include "libvmm/sandbox/syscalls/syscall_host.h"

namespace sandbox_run {

// This process's end of a sandbox: its standard streams, its sleeps, and the
// signals that are to end it. Whatever waits here wakes up for a signal and for
// the deadline.
//
// Thread-safety: not; one per process, since signal handlers are.
class HostEnd {
 public:
  // `deadline` may be InfiniteFuture.
  explicit HostEnd(absl::Time deadline) : deadline_(deadline) {}

  // Makes SIGINT, SIGTERM and SIGHUP, unless ignored, kill what `killer` is for.
  absl::Status CatchSignals(libvmm::sandbox::Killer killer);
  // The signal that came, if one did.
  [[nodiscard]] static std::optional<int> signal();

  // Refer to this object.
  libvmm::sandbox::StandardStreams Streams();
  libvmm::sandbox::SleepResult Sleep(absl::Duration duration);

  [[nodiscard]] bool expired() const;
  // How long there is still; nothing without a deadline.
  [[nodiscard]] std::optional<absl::Duration> left() const;

 private:
  // Waits for input (if `fd` is one), a signal, the deadline, or that long.
  // Whether there is input.
  bool Wait(int fd, absl::Duration longest) const;

  absl::Time deadline_;
};

}  // namespace sandbox_run

#endif  // LIBVMM_EXAMPLES_SANDBOX_RUN_HOST_END_H_
