// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_VIRTIO_BLOCK_BLOCK_BACKEND_H_
#define LIBVMM_DEVICES_VIRTIO_BLOCK_BLOCK_BACKEND_H_

#include <cstdint>

#include "libvmm/devices/virtio/block/block_request.h"
#include "libvmm/devices/virtio/block/block_traits.h"

namespace libvmm {

// Where a VirtioBlock's blocks are. The library has MemoryDisk, FileDisk,
// UringDisk and CallbackDisk; an embedder writes its own.
//
// A back-end finishes a request at once, or takes it and finishes it on any
// thread. Every request that it took is finished exactly once, also after an
// error, also in Drain.
//
// Thread-safety: Submit and Start are called for several lanes at the same
//     time; capacity() on any thread. During Drain neither is called.
// Ownership: refers to requests that it took. Serves one owner at a time.
// Errors: answers; none that a guest drives is a Status.
class BlockBackend {
 public:
  virtual ~BlockBackend() = default;

  // Never changes.
  [[nodiscard]] virtual const BlockTraits& traits() const = 0;

  // Bytes; what is behind the last whole block does not count. It may change:
  // then VirtioBlock::Resized tells the driver.
  [[nodiscard]] virtual uint64_t capacity() const = 0;

  // Does `request`, takes it (kPending), or has no room for it (kLater).
  [[nodiscard]] virtual BlockAnswer Submit(BlockRequest& request) = 0;

  // Starts what Submit took and is not started yet: so several requests cost
  // one system call.
  virtual void Start() {}

  // Finishes all that was taken, by waiting or cancelling, and returns when the
  // last OnComplete has: no buffer is touched any more, and the owner is not
  // called again. Nothing is submitted meanwhile.
  virtual void Drain() {}

 protected:
  BlockBackend() = default;
  BlockBackend(const BlockBackend&) = default;
  BlockBackend& operator=(const BlockBackend&) = default;
};

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_VIRTIO_BLOCK_BLOCK_BACKEND_H_
