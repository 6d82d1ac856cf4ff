// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_VIRTIO_BLOCK_CALLBACK_DISK_H_
#define LIBVMM_DEVICES_VIRTIO_BLOCK_CALLBACK_DISK_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "libvmm/devices/virtio/block/block_backend.h"
#include "libvmm/devices/virtio/block/block_request.h"
#include "libvmm/devices/virtio/block/block_traits.h"

namespace libvmm {

// A disk whose blocks are computed by the embedder's functions, at once. One
// that answers later implements BlockBackend.
//
// Thread-safety: that of the functions: they run on the thread that serves a
//     lane, and for several lanes at the same time.
// Ownership: owns the functions.
// Errors: of Create. What a function says is the guest's answer.
// Cost: a call for each buffer of a request.
class CallbackDisk final : public BlockBackend {
 public:
  struct Options {
    // Bytes.
    uint64_t capacity = 0;
    uint32_t block_size = 512;

    // Fills `to` with the bytes at `offset`; false is an I/O error. `to` is
    // guest memory: write each byte once and read none back. Offsets and sizes
    // are inside the disk; a buffer may end in mid-block.
    absl::AnyInvocable<bool(uint64_t offset, std::span<std::byte> to)> read =
        nullptr;
    // Takes the bytes of `from`, which is guest memory that may change
    // meanwhile. Null: the disk is read-only.
    absl::AnyInvocable<bool(uint64_t offset, std::span<const std::byte> from)>
        write = nullptr;
    // Makes what was written durable; null: it is. Called for durable writes,
    // too.
    absl::AnyInvocable<bool()> flush = nullptr;
  };

  // kInvalidArgument: block_size is not one (BlockTraits); there is no `read`.
  static absl::StatusOr<std::unique_ptr<CallbackDisk>> Create(Options options);

  [[nodiscard]] const BlockTraits& traits() const override { return traits_; }
  [[nodiscard]] uint64_t capacity() const override { return options_.capacity; }
  [[nodiscard]] BlockAnswer Submit(BlockRequest& request) override;

 private:
  explicit CallbackDisk(Options options);

  Options options_;
  const BlockTraits traits_;
};

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_VIRTIO_BLOCK_CALLBACK_DISK_H_
