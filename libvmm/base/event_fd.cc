// SPDX-License-Identifier: Apache-2.0
#include "libvmm/base/event_fd.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>

#include "libvmm/base/errno_status.h"

namespace libvmm {

absl::StatusOr<EventFd> EventFd::Create() {
  UniqueFd fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!fd.valid()) return ErrnoStatus(errno, "eventfd(0, CLOEXEC|NONBLOCK)");
  return EventFd(std::move(fd));
}

absl::StatusOr<EventFd> EventFd::Duplicate() const {
  absl::StatusOr<UniqueFd> fd = fd_.Duplicate();
  if (!fd.ok()) return fd.status();
  return EventFd(*std::move(fd));
}

void EventFd::Signal() const {
  const int saved_errno = errno;
  const uint64_t one = 1;
  // EAGAIN means that the counter is full, and so already readable.
  while (::write(fd_.get(), &one, sizeof(one)) < 0 && errno == EINTR) {
  }
  errno = saved_errno;
}

uint64_t EventFd::Drain() const {
  const int saved_errno = errno;
  uint64_t count = 0;
  ssize_t got;
  while ((got = ::read(fd_.get(), &count, sizeof(count))) < 0 &&
         errno == EINTR) {
  }
  errno = saved_errno;
  return got == sizeof(count) ? count : 0;
}

}  // namespace libvmm
