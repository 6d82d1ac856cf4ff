// SPDX-License-Identifier: Apache-2.0
#include "libvmm/kvm/ioctl.h"

#include <sys/ioctl.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "libvmm/base/errno_status.h"

namespace libvmm::internal {

absl::StatusOr<int> CallIoctlWord(int fd, IoctlRequest request,
                                  uintptr_t argument,
                                  absl::string_view detail) {
  const int result = ::ioctl(fd, request.code, argument);
  if (result >= 0) return result;
  const int error = errno;
  return ErrnoStatus(
      error, absl::StrCat("ioctl(", request.name, detail.empty() ? "" : ", ",
                          detail, ")"));
}

}  // namespace libvmm::internal
