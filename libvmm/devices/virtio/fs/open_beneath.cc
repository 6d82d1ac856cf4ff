// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/virtio/fs/open_beneath.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

namespace libvmm::internal {

Beneath::Beneath(bool cross_mounts)
    : resolve_(RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS |
               (cross_mounts ? 0 : RESOLVE_NO_XDEV)) {}

int Beneath::Open(int directory, const char* path, int flags, uint32_t mode,
                  UniqueFd& opened) const {
  struct open_how how = {};
  how.flags = static_cast<unsigned>(flags | O_CLOEXEC | O_NOFOLLOW);
  // openat2 knows which flags go with O_PATH.
  if ((flags & O_PATH) == 0) how.flags |= O_NOCTTY;
  how.mode = mode;
  how.resolve = resolve_;
  long fd = 0;
  do {
    fd = ::syscall(SYS_openat2, directory, path, &how, sizeof how);
  } while (fd < 0 && errno == EINTR);
  if (fd < 0) return errno;
  opened = UniqueFd(static_cast<int>(fd));
  return 0;
}

}  // namespace libvmm::internal
