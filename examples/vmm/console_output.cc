// SPDX-License-Identifier: Apache-2.0
#include "examples/vmm/console_output.h"

#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "libvmm/base/errno_status.h"
#include "libvmm/base/status_macros.h"

namespace vmm {

using namespace libvmm;

absl::StatusOr<ConsoleOutput> ConsoleOutput::Create(int fd,
                                                    const EventFd& failed) {
  LIBVMM_ASSIGN_OR_RETURN(EventFd closed, EventFd::Create());
  return ConsoleOutput(fd, failed, std::move(closed));
}

bool ConsoleOutput::WaitForRoom() {
  pollfd fds[] = {{.fd = fd_, .events = POLLOUT, .revents = 0},
                  {.fd = closed_.fd(), .events = POLLIN, .revents = 0}};
  while (poll(fds, std::size(fds), -1) < 0 && errno == EINTR) {
  }
  return fds[1].revents == 0;
}

void ConsoleOutput::Write(std::span<const std::byte> bytes) {
  // A UART gives at most 16 bytes, which a pipe or terminal that polls as
  // writable takes without blocking.
  while (!bytes.empty() && error_ == 0 && WaitForRoom()) {
    const ssize_t written = write(fd_, bytes.data(), bytes.size());
    if (written >= 0) {
      bytes = bytes.subspan(static_cast<size_t>(written));
    } else if (errno != EINTR && errno != EAGAIN) {
      int none = 0;
      if (error_.compare_exchange_strong(none, errno)) failed_.Signal();
    }
  }
}

absl::Status ConsoleOutput::status() const {
  const int error = error_;
  if (error == 0) return absl::OkStatus();
  return ErrnoStatus(error, "write(the guest's output)");
}

}  // namespace vmm
