// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_VIRTIO_BLOCK_MEMORY_DISK_H_
#define LIBVMM_DEVICES_VIRTIO_BLOCK_MEMORY_DISK_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "absl/status/statusor.h"
#include "libvmm/devices/virtio/block/block_backend.h"
#include "libvmm/devices/virtio/block/block_request.h"
#include "libvmm/devices/virtio/block/block_traits.h"
#include "libvmm/memory/memory_region.h"

namespace libvmm {

// A disk in host memory: the embedder's bytes, or a MemoryRegion, which may be
// anonymous, a memfd, or a file mapped copy-on-write (a disk whose changes are
// forgotten).
//
// Requests are finished at once. Flushes have nothing to do: what is written is
// in that memory, no more and no less.
//
// Thread-safety: thread-safe. Of two requests for the same bytes at the same
//     time, bytes of both may remain.
// Ownership: shares the region; embedder's bytes outlive the disk.
// Errors: of Create.
// Cost: a memcpy for each buffer.
class MemoryDisk final : public BlockBackend {
 public:
  struct Options {
    bool read_only = false;
    uint32_t block_size = 512;
  };

  // kInvalidArgument: block_size is not one (BlockTraits). A region that is
  // read-only makes a disk that is.
  static absl::StatusOr<std::unique_ptr<MemoryDisk>> Create(
      MemoryRegion region, const Options& options);
  static absl::StatusOr<std::unique_ptr<MemoryDisk>> Create(
      std::span<std::byte> bytes, const Options& options);

  [[nodiscard]] const BlockTraits& traits() const override { return traits_; }
  [[nodiscard]] uint64_t capacity() const override { return bytes_.size(); }
  [[nodiscard]] BlockAnswer Submit(BlockRequest& request) override;

 private:
  MemoryDisk(MemoryRegion region, std::span<std::byte> bytes,
             const Options& options);

  const MemoryRegion region_;
  const std::span<std::byte> bytes_;
  const BlockTraits traits_;
};

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_VIRTIO_BLOCK_MEMORY_DISK_H_
