// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_VIRTIO_BLOCK_URING_DISK_H_
#define LIBVMM_DEVICES_VIRTIO_BLOCK_URING_DISK_H_

#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "libvmm/base/unique_fd.h"
#include "libvmm/devices/event_source.h"
#include "libvmm/devices/virtio/block/block_backend.h"
#include "libvmm/devices/virtio/block/block_request.h"
#include "libvmm/devices/virtio/block/block_traits.h"
#include "libvmm/devices/virtio/block/disk_file.h"

namespace libvmm {

// A regular file or block device as a disk, by io_uring(7): requests are queued
// to the kernel, several by one system call, and what they came to is fetched
// when the disk's descriptor is readable. The embedder's loop watches that.
//
// What the kernel does at once, as reads from its page cache, is told inside
// Start, and the descriptor stays quiet: no thread is woken for it.
//
// A transfer that the kernel does in part is queued again for the rest. What
// the ring cannot take now (the kernel is short of memory, buffers that
// O_DIRECT refuses, a fallocate that the file system does not know) is done by
// blocking calls instead, in Start or OnReady.
//
// Thread-safety: thread-safe; OnReady may run beside Submit.
// Ownership: owns the file's descriptor, the ring and an eventfd. Destroyed
//     only when drained.
// Errors: of Create and UpdateCapacity.
// Cost: a short lock for Submit, Start and OnReady each; a system call for each
//     Start with something to start, none to fetch completions, one for each
//     OnReady.
class UringDisk final : public BlockBackend, public EventSource {
 public:
  struct Options {
    DiskFile::Options file = {};
    // Requests in flight at most: a power of two, 1 to 4096.
    uint32_t entries = 128;
  };

  // kUnimplemented: the kernel has no io_uring; kPermissionDenied: it is
  // forbidden here, as in many containers; kResourceExhausted: too little
  // memory may be locked. The message names io_uring_setup. kInvalidArgument:
  // Options::entries. Else as DiskFile::Create.
  static absl::StatusOr<std::unique_ptr<UringDisk>> Create(
      UniqueFd fd, const Options& options);
  ~UringDisk() override;
  UringDisk(const UringDisk&) = delete;
  UringDisk& operator=(const UringDisk&) = delete;

  // BlockBackend.
  [[nodiscard]] const BlockTraits& traits() const override;
  [[nodiscard]] uint64_t capacity() const override;
  [[nodiscard]] BlockAnswer Submit(BlockRequest& request) override;
  void Start() override;
  void Drain() override;

  // EventSource: an eventfd that the kernel raises (IORING_REGISTER_EVENTFD).
  [[nodiscard]] int fd() const override;
  [[nodiscard]] short events() const override;
  [[nodiscard]] absl::Duration NextDeadline() const override;
  void OnReady(short revents) override;
  void OnDeadline() override;

  // As DiskFile::UpdateCapacity; VirtioBlock::Resized comes after it.
  absl::Status UpdateCapacity();

 private:
  class Ring;

  explicit UringDisk(std::unique_ptr<Ring> ring);

  const std::unique_ptr<Ring> ring_;
};

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_VIRTIO_BLOCK_URING_DISK_H_
