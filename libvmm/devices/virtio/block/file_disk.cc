// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/virtio/block/file_disk.h"

#include <memory>
#include <utility>

#include "libvmm/base/status_macros.h"

namespace libvmm {

absl::StatusOr<std::unique_ptr<FileDisk>> FileDisk::Create(
    UniqueFd fd, const Options& options) {
  LIBVMM_ASSIGN_OR_RETURN(std::unique_ptr<DiskFile> file,
                          DiskFile::Create(std::move(fd), options));
  return std::unique_ptr<FileDisk>(new FileDisk(std::move(file)));
}

}  // namespace libvmm
