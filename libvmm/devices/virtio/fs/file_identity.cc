// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/virtio/fs/file_identity.h"

#include <fcntl.h>
#include <sys/sysmacros.h>

#include <cerrno>
#include <initializer_list>

namespace libvmm::internal {

size_t FileIdentity::Hash::operator()(const FileIdentity& id) const {
  // The multiplier of Fibonacci hashing, 2^64 by the golden ratio.
  constexpr uint64_t kMultiplier = 0x9e3779b97f4a7c15;
  uint64_t hash = 0;
  for (const uint64_t part : {id.device, id.inode, uint64_t{id.type},
                              static_cast<uint64_t>(id.birth_seconds),
                              uint64_t{id.birth_nanoseconds}}) {
    hash = (hash ^ part) * kMultiplier;
    hash ^= hash >> 32;
  }
  return hash;
}

FileIdentity IdentityOf(const struct statx& stat) {
  FileIdentity identity{
      .device = ::makedev(stat.stx_dev_major, stat.stx_dev_minor),
      .inode = stat.stx_ino,
      .type = uint32_t{stat.stx_mode} & S_IFMT};
  if ((stat.stx_mask & STATX_BTIME) != 0) {
    identity.birth_seconds = stat.stx_btime.tv_sec;
    identity.birth_nanoseconds = stat.stx_btime.tv_nsec;
  }
  return identity;
}

int StatFile(int fd, struct statx& stat) {
  return ::statx(fd, "", AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW,
                 STATX_BASIC_STATS | STATX_BTIME, &stat) == 0
             ? 0
             : errno;
}

}  // namespace libvmm::internal
