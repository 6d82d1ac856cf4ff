// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_VIRTIO_FS_OPEN_BENEATH_H_
#define LIBVMM_DEVICES_VIRTIO_FS_OPEN_BENEATH_H_

#include <cstdint>

#include "libvmm/base/unique_fd.h"

namespace libvmm::internal {

// openat2(2), confined to what is below a directory: RESOLVE_BENEATH,
// RESOLVE_NO_SYMLINKS and RESOLVE_NO_MAGICLINKS are always set, O_CLOEXEC,
// O_NOCTTY and O_NOFOLLOW too. With O_PATH a symbolic link at the end of the
// path is what is opened.
//
// Thread-safety: thread-safe.
// Errors: the errno; interrupted calls are made again.
// Cost: one system call.
class Beneath {
 public:
  // Without cross_mounts, what is mounted below is EXDEV (RESOLVE_NO_XDEV).
  explicit Beneath(bool cross_mounts);

  // `path` is relative to `directory`, which may be opened with O_PATH. `mode`
  // is for O_CREAT alone.
  [[nodiscard]] int Open(int directory, const char* path, int flags,
                         uint32_t mode, UniqueFd& opened) const;

 private:
  uint64_t resolve_;
};

}  // namespace libvmm::internal

#endif  // LIBVMM_DEVICES_VIRTIO_FS_OPEN_BENEATH_H_
