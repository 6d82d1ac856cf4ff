// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_VIRTIO_BLOCK_BLOCK_REQUEST_H_
#define LIBVMM_DEVICES_VIRTIO_BLOCK_BLOCK_REQUEST_H_

#include <sys/uio.h>

#include <cstdint>
#include <span>

namespace libvmm {

enum class BlockOperation : uint8_t {
  kRead,
  kWrite,
  // Every write that has completed is on stable storage.
  kFlush,
  // The content does not matter any more.
  kDiscard,
  kWriteZeroes,
};

// What a BlockBackend says of a request.
enum class BlockAnswer : uint8_t {
  // Done. A read has filled its buffers, a write can be read back.
  kOk,
  // Not or only partly done.
  kIoError,
  // This one the back-end cannot do.
  kUnsupported,

  // Of Submit alone: it is taken, and its owner is told later.
  kPending,
  // Of Submit alone: not taken, for want of room. Its owner is told when to try
  // again.
  kLater,
};

struct BlockRequest;

// A request that is finished, with one of the first three answers.
struct BlockCompletion {
  BlockRequest* request = nullptr;
  BlockAnswer answer = BlockAnswer::kOk;
};

// Who is told what became of requests.
//
// Thread-safety: thread-safe; called on whatever thread a back-end has, also
//     inside Submit and Start, but without locks of the back-end, since it may
//     call these.
// Errors: none.
class BlockRequestOwner {
 public:
  // Requests whose Submit said kPending are finished, and forgotten by the
  // back-end. Those that finish together are told together.
  virtual void OnComplete(std::span<const BlockCompletion> completions) = 0;

  // After a Submit that said kLater, once: there is room again.
  virtual void OnRoom() = 0;

 protected:
  BlockRequestOwner() = default;
  BlockRequestOwner(const BlockRequestOwner&) = default;
  BlockRequestOwner& operator=(const BlockRequestOwner&) = default;
  ~BlockRequestOwner() = default;
};

// Something to do on a disk. The owner fills it, checks that offset and size
// are inside the disk and multiples of its block size, and keeps it until it is
// finished.
//
// Thread-safety: a back-end's from Submit until it is finished.
// Ownership: refers to owner and buffers. The buffers are guest memory: their
//     bytes change at any time, and are read or written once.
struct BlockRequest {
  BlockOperation operation = BlockOperation::kRead;
  // Of kWrite and kWriteZeroes: finished only when it is on stable storage.
  bool durable = false;
  // Of kWriteZeroes: the blocks may be deallocated.
  bool unmap = false;

  // In bytes. Zero for kFlush.
  uint64_t offset = 0;
  uint64_t size = 0;

  // kRead fills these, kWrite reads them: none is empty, together they have
  // `size` bytes. A back-end may change them, to go on behind what is done.
  std::span<iovec> buffers = {};

  BlockRequestOwner* owner = nullptr;

  // The back-end's, for its own accounts. Zero when submitted.
  uint64_t note = 0;
};

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_VIRTIO_BLOCK_BLOCK_REQUEST_H_
