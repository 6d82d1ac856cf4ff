// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_VIRTIO_BLOCK_DISK_FILE_H_
#define LIBVMM_DEVICES_VIRTIO_BLOCK_DISK_FILE_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "libvmm/base/mapping.h"
#include "libvmm/base/mutex.h"
#include "libvmm/base/unique_fd.h"
#include "libvmm/devices/virtio/block/block_request.h"
#include "libvmm/devices/virtio/block/block_traits.h"

namespace libvmm {

// Where a disk's data is between the guest's write and its flush.
enum class DiskCache : uint8_t {
  // In the host's page cache; a flush is fdatasync(2).
  kWriteback,
  // Not in the host's memory: O_DIRECT. A flush is fdatasync(2), since disks
  // have caches.
  kNone,
  // As kWriteback, and flushes do nothing. Fast, and lost with the host; for
  // disks that are thrown away.
  kUnsafe,
};

// A regular file or block device as a disk: what FileDisk and UringDisk have in
// common, and every request as blocking system calls.
//
// - A transfer that the kernel does in part goes on behind that part; what was
//   moved is not moved again.
// - With kNone, buffers that are not aligned as O_DIRECT wants go through one
//   bounce buffer, one request at a time.
// - Zeroes are written by fallocate(2) where the file has it, else as data. A
//   discard is a hole.
//
// Thread-safety: thread-safe.
// Ownership: owns the descriptor and the bounce buffer.
// Errors: of Create and UpdateCapacity; those of requests are answers.
// Cost: a system call for each request, more where the kernel moves less than
//     it was asked for.
class DiskFile {
 public:
  struct Options {
    DiskCache cache = DiskCache::kWriteback;
    // Neither written nor discarded; the descriptor need not be writable.
    bool read_only = false;
    // What the guest sees as a block; zero: 512, or what O_DIRECT needs.
    uint32_t block_size = 0;
  };

  // kInvalidArgument: `fd` is neither a regular file nor a block device, or not
  // open for what options ask; block_size is not one (BlockTraits), or smaller
  // than O_DIRECT needs; the file system has no O_DIRECT. Else ErrnoStatus of
  // the call that failed.
  static absl::StatusOr<std::unique_ptr<DiskFile>> Create(
      UniqueFd fd, const Options& options);
  DiskFile(const DiskFile&) = delete;
  DiskFile& operator=(const DiskFile&) = delete;

  [[nodiscard]] int fd() const { return fd_.get(); }
  [[nodiscard]] DiskCache cache() const { return options_.cache; }
  [[nodiscard]] const BlockTraits& traits() const { return traits_; }
  [[nodiscard]] uint64_t capacity() const {
    return capacity_.load(std::memory_order_relaxed);
  }

  // Reads the size anew, after the file has grown or shrunk.
  absl::Status UpdateCapacity();

  // Does all of `request` and blocks until then.
  [[nodiscard]] BlockAnswer Run(BlockRequest& request);

  // Whether the kernel takes the buffers as they are, not only through the
  // bounce buffer.
  [[nodiscard]] bool TakesBuffers(const BlockRequest& request) const;

 private:
  struct Alignment {
    // Zero: any.
    uint32_t memory = 0;
    uint32_t offset = 0;
  };

  static absl::StatusOr<Alignment> DirectAlignment(int fd, bool is_device);

  DiskFile(UniqueFd fd, const Options& options, Alignment alignment,
           const BlockTraits& traits, uint64_t capacity, Mapping bounce);

  BlockAnswer Transfer(BlockRequest& request);
  BlockAnswer TransferBounced(BlockRequest& request);
  BlockAnswer Sync();
  BlockAnswer WriteZeroes(const BlockRequest& request);
  BlockAnswer Discard(const BlockRequest& request);

  const UniqueFd fd_;
  const Options options_;
  const Alignment alignment_;
  const BlockTraits traits_;
  std::atomic<uint64_t> capacity_;

  Mutex bounce_mutex_;
  // Empty unless the cache is kNone.
  Mapping bounce_ ABSL_GUARDED_BY(bounce_mutex_);
};

// Passes over the first `done` bytes, which are less than the buffers have:
// what a partial transfer goes on with. Shared with UringDisk.
void AdvanceBuffers(std::span<iovec>& buffers, uint64_t done);

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_VIRTIO_BLOCK_DISK_FILE_H_
