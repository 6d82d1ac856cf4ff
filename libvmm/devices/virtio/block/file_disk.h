// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_VIRTIO_BLOCK_FILE_DISK_H_
#define LIBVMM_DEVICES_VIRTIO_BLOCK_FILE_DISK_H_

#include <cstdint>
#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "libvmm/base/unique_fd.h"
#include "libvmm/devices/virtio/block/block_backend.h"
#include "libvmm/devices/virtio/block/block_request.h"
#include "libvmm/devices/virtio/block/block_traits.h"
#include "libvmm/devices/virtio/block/disk_file.h"

namespace libvmm {

// A regular file or block device as a disk, by blocking system calls on the
// thread that serves the queue. Simple, with no descriptor for a loop; a slow
// disk holds up that thread, so UringDisk where that matters.
//
// Thread-safety: thread-safe.
// Ownership: owns the descriptor.
// Errors: of Create and UpdateCapacity.
// Cost: as DiskFile.
class FileDisk final : public BlockBackend {
 public:
  using Options = DiskFile::Options;

  // Errors as DiskFile::Create.
  static absl::StatusOr<std::unique_ptr<FileDisk>> Create(
      UniqueFd fd, const Options& options);

  [[nodiscard]] const BlockTraits& traits() const override {
    return file_->traits();
  }
  [[nodiscard]] uint64_t capacity() const override { return file_->capacity(); }
  [[nodiscard]] BlockAnswer Submit(BlockRequest& request) override {
    return file_->Run(request);
  }

  // As DiskFile::UpdateCapacity; VirtioBlock::Resized comes after it.
  absl::Status UpdateCapacity() { return file_->UpdateCapacity(); }

 private:
  explicit FileDisk(std::unique_ptr<DiskFile> file) : file_(std::move(file)) {}

  const std::unique_ptr<DiskFile> file_;
};

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_VIRTIO_BLOCK_FILE_DISK_H_
