// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_TESTING_HELD_DISK_H_
#define LIBVMM_TESTING_HELD_DISK_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "libvmm/base/mutex.h"
#include "libvmm/devices/virtio/block/block_backend.h"
#include "libvmm/devices/virtio/block/block_request.h"
#include "libvmm/devices/virtio/block/block_traits.h"

namespace libvmm::testing {

// A disk in memory that does a request when the test says so, with the answer
// that it says: for what a device does between a request and its completion.
//
// Thread-safety: thread-safe.
// Ownership: refers to what it was given.
class HeldDisk final : public BlockBackend {
 public:
  HeldDisk(const BlockTraits& traits, size_t capacity)
      : traits_(traits), bytes_(capacity) {}

  // ---- BlockBackend ---------------------------------------------------------

  [[nodiscard]] const BlockTraits& traits() const override { return traits_; }
  [[nodiscard]] uint64_t capacity() const override;
  [[nodiscard]] BlockAnswer Submit(BlockRequest& request) override;
  void Start() override;
  // Does all that it holds, the lost ones included.
  void Drain() override;

  // ---- The test's side ------------------------------------------------------

  // Does requests at once instead of holding them.
  void set_immediate(bool immediate);
  // How many it takes; kLater for more. Without a limit at first.
  void set_room(size_t room);
  void set_capacity(uint64_t capacity);

  // Requests that it holds, the oldest first, and copies of all that were ever
  // submitted.
  [[nodiscard]] size_t held();
  [[nodiscard]] std::vector<BlockRequest> submitted();
  // How many of these.
  [[nodiscard]] size_t submissions();
  [[nodiscard]] int starts();
  [[nodiscard]] int drains();
  // Those taken since the last Start.
  [[nodiscard]] size_t unstarted();

  // Does the request at `index` of those held if `answer` is kOk, and completes
  // it.
  void Finish(size_t index, BlockAnswer answer = BlockAnswer::kOk);
  // Completes all that it holds, in one call.
  void FinishAll(BlockAnswer answer = BlockAnswer::kOk);

  // What is on the disk.
  [[nodiscard]] std::vector<std::byte>& bytes() { return bytes_; }

 private:
  BlockAnswer Do(BlockRequest& request);

  const BlockTraits traits_;
  std::vector<std::byte> bytes_;
  Mutex mutex_;
  bool immediate_ ABSL_GUARDED_BY(mutex_) = false;
  size_t room_ ABSL_GUARDED_BY(mutex_) = SIZE_MAX;
  mutable Mutex capacity_mutex_;
  std::optional<uint64_t> capacity_ ABSL_GUARDED_BY(capacity_mutex_);
  std::vector<BlockRequest*> held_ ABSL_GUARDED_BY(mutex_);
  std::vector<BlockRequest> submitted_ ABSL_GUARDED_BY(mutex_);
  BlockRequestOwner* waiting_ ABSL_GUARDED_BY(mutex_) = nullptr;
  int starts_ ABSL_GUARDED_BY(mutex_) = 0;
  int drains_ ABSL_GUARDED_BY(mutex_) = 0;
  size_t unstarted_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace libvmm::testing

#endif  // LIBVMM_TESTING_HELD_DISK_H_
