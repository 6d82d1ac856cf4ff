// SPDX-License-Identifier: Apache-2.0
#include "libvmm/base/unique_fd.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "libvmm/base/errno_status.h"

namespace libvmm {

void UniqueFd::Reset() {
  if (fd_ < 0) return;
  const int saved_errno = errno;
  // Linux frees the number even when close reports EINTR: never retry.
  ::close(Release());
  errno = saved_errno;
}

absl::StatusOr<UniqueFd> UniqueFd::Duplicate() const {
  const int copy = ::fcntl(fd_, F_DUPFD_CLOEXEC, 0);
  if (copy < 0) {
    return ErrnoStatus(errno,
                       absl::StrCat("fcntl(", fd_, ", F_DUPFD_CLOEXEC)"));
  }
  return UniqueFd(copy);
}

}  // namespace libvmm
