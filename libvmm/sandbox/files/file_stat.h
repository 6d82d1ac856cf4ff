// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_SANDBOX_FILES_FILE_STAT_H_
#define LIBVMM_SANDBOX_FILES_FILE_STAT_H_

#include <cstdint>

#include "absl/time/time.h"

namespace libvmm::sandbox {

// What stat(2) and statx(2) tell of a file. stat_encoding.h makes the kernel's
// structs of it.
struct FileStat {
  uint64_t inode = 0;
  // S_IFMT bits and permissions.
  uint32_t mode = 0;
  uint32_t links = 0;
  uint32_t user = 0;
  uint32_t group = 0;
  // Of a device file; else zero.
  uint32_t device_major = 0;
  uint32_t device_minor = 0;
  uint64_t size = 0;
  // Of 512 bytes, as st_blocks counts; a hole has none.
  uint64_t blocks = 0;
  // Reading does not change the access time (as if mounted noatime).
  absl::Time access_time{};
  absl::Time modify_time{};
  absl::Time change_time{};
};

// What statfs(2) tells. Blocks are of kFileBlockSize bytes.
struct VolumeStat {
  uint64_t blocks = 0;
  uint64_t free_blocks = 0;
  uint64_t files = 0;
  uint64_t free_files = 0;
};

// st_blksize and f_bsize.
inline constexpr uint32_t kFileBlockSize = 4096;
// st_dev of every file: there is one volume.
inline constexpr uint32_t kVolumeDevice = 1;
// The longest name in a directory (NAME_MAX), and a path's limit with its
// terminating NUL (PATH_MAX), in bytes.
inline constexpr uint32_t kMaxNameSize = 255;
inline constexpr uint32_t kPathLimit = 4096;

}  // namespace libvmm::sandbox

#endif  // LIBVMM_SANDBOX_FILES_FILE_STAT_H_
