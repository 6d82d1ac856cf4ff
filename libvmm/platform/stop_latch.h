// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_PLATFORM_STOP_LATCH_H_
#define LIBVMM_PLATFORM_STOP_LATCH_H_

#include <atomic>
#include <optional>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "libvmm/base/mutex.h"
#include "libvmm/platform/pc_stop.h"

namespace libvmm {

// The one place where the end of a machine arrives. The first of several stays,
// until it is cleared; a guest whose CPUs race each other to reset and power
// off gets one of them.
//
// Thread-safety: thread-safe. Once stopped() is true, Get has the value.
// Ownership: owns the callback.
// Errors: none.
// Cost: stopped() is a load. Set takes a lock, and runs the callback outside it
//     on the calling thread.
class StopLatch {
 public:
  // `on_stop` brings the other vCPUs and the event loop to attention; it runs
  // once for each stop that takes effect.
  explicit StopLatch(absl::AnyInvocable<void()> on_stop)
      : on_stop_(std::move(on_stop)) {}

  void Set(const PcStop& stop) {
    {
      const MutexLock lock(mutex_);
      if (stop_.has_value()) return;
      stop_ = stop;
      stopped_.store(true, std::memory_order_release);
    }
    on_stop_();
  }

  [[nodiscard]] bool stopped() const {
    return stopped_.load(std::memory_order_acquire);
  }

  [[nodiscard]] std::optional<PcStop> Get() const {
    const MutexLock lock(mutex_);
    return stop_;
  }

  // As if nothing had happened.
  void Clear() {
    const MutexLock lock(mutex_);
    stop_.reset();
    stopped_.store(false, std::memory_order_release);
  }

 private:
  absl::AnyInvocable<void()> on_stop_;
  std::atomic<bool> stopped_ = false;
  mutable Mutex mutex_;
  std::optional<PcStop> stop_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace libvmm

#endif  // LIBVMM_PLATFORM_STOP_LATCH_H_
