// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_VIRTIO_FS_FILE_IDENTITY_H_
#define LIBVMM_DEVICES_VIRTIO_FS_FILE_IDENTITY_H_

#include <sys/stat.h>

#include <cstddef>
#include <cstdint>

namespace libvmm::internal {

// Which file of the host it is, as statx(2) has it. The time of its birth, where
// the file system has one, tells it from a later file with the same number.
//
// Thread-safety: a value.
struct FileIdentity {
  uint64_t device = 0;
  uint64_t inode = 0;
  // S_IFMT of its mode: of another type it is another file.
  uint32_t type = 0;
  int64_t birth_seconds = 0;
  uint32_t birth_nanoseconds = 0;

  friend constexpr bool operator==(const FileIdentity&,
                                   const FileIdentity&) = default;

  // For std::unordered_map.
  struct Hash {
    [[nodiscard]] size_t operator()(const FileIdentity& id) const;
  };
};

// What StatFile told of a file.
[[nodiscard]] FileIdentity IdentityOf(const struct statx& stat);

// statx(2) of an open file or path descriptor, with all that IdentityOf and
// attributes need. Zero or the errno.
[[nodiscard]] int StatFile(int fd, struct statx& stat);

}  // namespace libvmm::internal

#endif  // LIBVMM_DEVICES_VIRTIO_FS_FILE_IDENTITY_H_
