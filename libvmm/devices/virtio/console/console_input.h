// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_VIRTIO_CONSOLE_CONSOLE_INPUT_H_
#define LIBVMM_DEVICES_VIRTIO_CONSOLE_CONSOLE_INPUT_H_

#include <cstddef>
#include <span>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "libvmm/base/mutex.h"

namespace libvmm {

// Bytes on their way to a guest, so many at most.
//
// Thread-safety: thread-safe.
// Cost: a short lock and a copy; all memory is allocated at the start.
class ConsoleInput {
 public:
  // `capacity` in bytes, not zero.
  explicit ConsoleInput(size_t capacity);
  ConsoleInput(const ConsoleInput&) = delete;
  ConsoleInput& operator=(const ConsoleInput&) = delete;

  // Takes bytes from the front while there is room; returns how many.
  [[nodiscard]] size_t Put(std::span<const std::byte> bytes);

  // Moves the oldest bytes to the front of `to`; returns how many.
  size_t Take(std::span<std::byte> to);

  [[nodiscard]] bool empty() const;

  // Whether a Put was cut short, and there is room now. True once for each such
  // time.
  [[nodiscard]] bool TakeRoom();

  // Drops all; room for those who wait is then told by the next TakeRoom.
  void Clear();

 private:
  mutable Mutex mutex_;
  std::vector<std::byte> bytes_ ABSL_GUARDED_BY(mutex_);
  // The oldest byte, and how many there are.
  size_t first_ ABSL_GUARDED_BY(mutex_) = 0;
  size_t count_ ABSL_GUARDED_BY(mutex_) = 0;
  bool cut_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_VIRTIO_CONSOLE_CONSOLE_INPUT_H_
