// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_TESTING_BLOCK_REQUESTS_H_
#define LIBVMM_TESTING_BLOCK_REQUESTS_H_

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "libvmm/base/mutex.h"
#include "libvmm/devices/virtio/block/block_backend.h"
#include "libvmm/devices/virtio/block/block_request.h"

namespace libvmm::testing {

// A request to make.
struct BlockRequestArgs {
  BlockOperation operation = BlockOperation::kRead;
  uint64_t offset = 0;
  uint64_t size = 0;
  bool durable = false;
  bool unmap = false;
  // The buffers' sizes; what is left of `size` is one more.
  std::vector<size_t> pieces = {};
  // The first buffer starts so many bytes behind a page's start.
  size_t misaligned = 0;
};

// The owner of requests to a BlockBackend under test: makes them, and remembers
// what became of each.
//
// Thread-safety: thread-safe; `wait` is set before other threads are there.
// Ownership: owns the requests and their buffers; refers to the back-end.
class BlockRequests final : public BlockRequestOwner {
 public:
  // One request with its buffers.
  struct Entry {
    BlockRequest request;
    std::vector<std::byte> bytes;
    std::vector<iovec> buffers;
    // Every answer it got, kPending and kLater included.
    std::vector<BlockAnswer> answers;
  };

  explicit BlockRequests(BlockBackend& backend) : backend_(backend) {}
  BlockRequests(const BlockRequests&) = delete;
  BlockRequests& operator=(const BlockRequests&) = delete;

  // What becomes of completions while a request is waited for: for a back-end
  // that needs somebody to fetch them.
  std::function<void()> wait = [] {};

  using Args = BlockRequestArgs;
  // Makes a request and submits it; a write has `data`.
  Entry& Submit(const Args& args, std::span<const std::byte> data = {});

  // As Submit, Start and waiting for the answer, which is one of the final
  // ones, or kLater.
  BlockAnswer Run(const Args& args, std::span<const std::byte> data = {});
  BlockAnswer Read(uint64_t offset, std::span<std::byte> to,
                   const Args& more = {});
  BlockAnswer Write(uint64_t offset, std::span<const std::byte> data,
                    const Args& more = {});

  // The last answer.
  BlockAnswer Answer(const Entry& entry);
  // How many answers it got beside kPending.
  size_t Finished(const Entry& entry);
  int rooms();

  void OnComplete(std::span<const BlockCompletion> completions) override;
  void OnRoom() override;

 private:
  Entry* Find(const BlockRequest* request)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  BlockBackend& backend_;
  Mutex mutex_;
  std::vector<std::unique_ptr<Entry>> entries_ ABSL_GUARDED_BY(mutex_);
  int rooms_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace libvmm::testing

#endif  // LIBVMM_TESTING_BLOCK_REQUESTS_H_
