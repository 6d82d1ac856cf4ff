// SPDX-License-Identifier: Apache-2.0
#include "libvmm/platform/pc_disk.h"

#include <fcntl.h>

#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libvmm/base/errno_status.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/base/unique_fd.h"
#include "libvmm/devices/virtio/block/disk_file.h"
#include "libvmm/devices/virtio/block/file_disk.h"
#include "libvmm/devices/virtio/block/uring_disk.h"

namespace libvmm {

namespace {

DiskCache CacheOf(PcDisk::Cache cache) {
  switch (cache) {
    case PcDisk::Cache::kWriteback:
      break;
    case PcDisk::Cache::kNone:
      return DiskCache::kNone;
    case PcDisk::Cache::kUnsafe:
      return DiskCache::kUnsafe;
  }
  return DiskCache::kWriteback;
}

absl::StatusOr<PcDiskFile> OpenSync(UniqueFd fd,
                                    const DiskFile::Options& options) {
  LIBVMM_ASSIGN_OR_RETURN(std::unique_ptr<FileDisk> disk,
                          FileDisk::Create(std::move(fd), options));
  PcDiskFile file;
  file.update_capacity = [disk = disk.get()] { return disk->UpdateCapacity(); };
  file.backend = std::move(disk);
  return file;
}

absl::StatusOr<PcDiskFile> OpenUring(UniqueFd fd,
                                     const DiskFile::Options& options) {
  LIBVMM_ASSIGN_OR_RETURN(std::unique_ptr<UringDisk> disk,
                          UringDisk::Create(std::move(fd), {.file = options}));
  PcDiskFile file;
  file.source = disk.get();
  file.update_capacity = [disk = disk.get()] { return disk->UpdateCapacity(); };
  file.backend = std::move(disk);
  return file;
}

}  // namespace

absl::StatusOr<PcDiskFile> OpenPcDisk(const PcDisk& disk) {
  const int access = disk.read_only ? O_RDONLY : O_RDWR;
  UniqueFd fd(::open(disk.path.c_str(), access | O_CLOEXEC));
  if (!fd.valid()) {
    return ErrnoStatus(errno, absl::StrCat("open(", disk.path, ")"));
  }
  const DiskFile::Options options{.cache = CacheOf(disk.cache),
                                  .read_only = disk.read_only};
  absl::StatusOr<PcDiskFile> file = disk.io == PcDisk::Io::kIoUring
                                        ? OpenUring(std::move(fd), options)
                                        : OpenSync(std::move(fd), options);
  if (file.ok()) return file;
  return absl::Status(file.status().code(),
                      absl::StrCat(disk.path, ": ", file.status().message()));
}

}  // namespace libvmm
