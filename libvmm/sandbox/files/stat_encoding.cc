// SPDX-License-Identifier: Apache-2.0
#include "libvmm/sandbox/files/stat_encoding.h"

#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>

#include <cstring>

#include "absl/time/time.h"

namespace libvmm::sandbox {
namespace {

// The kernel's layouts, which the C library's are on x86-64.
static_assert(sizeof(struct ::stat) == 144);
static_assert(sizeof(struct ::statx) == 256);
static_assert(sizeof(struct ::statfs) == 120);

struct ::statx_timestamp StatxTime(absl::Time time) {
  const ::timespec from = absl::ToTimespec(time);
  struct ::statx_timestamp to;
  std::memset(&to, 0, sizeof(to));
  to.tv_sec = from.tv_sec;
  to.tv_nsec = static_cast<uint32_t>(from.tv_nsec);
  return to;
}

}  // namespace

void EncodeStat(const FileStat& from, struct ::stat& to) {
  std::memset(&to, 0, sizeof(to));
  to.st_dev = makedev(0, kVolumeDevice);
  to.st_ino = from.inode;
  to.st_nlink = from.links;
  to.st_mode = from.mode;
  to.st_uid = from.user;
  to.st_gid = from.group;
  to.st_rdev = makedev(from.device_major, from.device_minor);
  to.st_size = static_cast<off_t>(from.size);
  to.st_blksize = kFileBlockSize;
  to.st_blocks = static_cast<blkcnt_t>(from.blocks);
  to.st_atim = absl::ToTimespec(from.access_time);
  to.st_mtim = absl::ToTimespec(from.modify_time);
  to.st_ctim = absl::ToTimespec(from.change_time);
}

void EncodeStatx(const FileStat& from, struct ::statx& to) {
  std::memset(&to, 0, sizeof(to));
  to.stx_mask = STATX_BASIC_STATS;
  to.stx_blksize = kFileBlockSize;
  to.stx_nlink = from.links;
  to.stx_uid = from.user;
  to.stx_gid = from.group;
  to.stx_mode = static_cast<uint16_t>(from.mode);
  to.stx_ino = from.inode;
  to.stx_size = from.size;
  to.stx_blocks = from.blocks;
  to.stx_atime = StatxTime(from.access_time);
  to.stx_mtime = StatxTime(from.modify_time);
  to.stx_ctime = StatxTime(from.change_time);
  to.stx_rdev_major = from.device_major;
  to.stx_rdev_minor = from.device_minor;
  to.stx_dev_minor = kVolumeDevice;
}

void EncodeStatfs(const VolumeStat& from, struct ::statfs& to) {
  std::memset(&to, 0, sizeof(to));
  to.f_type = TMPFS_MAGIC;
  to.f_bsize = kFileBlockSize;
  to.f_frsize = kFileBlockSize;
  to.f_blocks = from.blocks;
  to.f_bfree = from.free_blocks;
  to.f_bavail = from.free_blocks;
  to.f_files = from.files;
  to.f_ffree = from.free_files;
  to.f_namelen = kMaxNameSize;
}

}  // namespace libvmm::sandbox
