// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_VIRTIO_RATE_RATE_LIMITER_H_
#define LIBVMM_DEVICES_VIRTIO_RATE_RATE_LIMITER_H_

#include <atomic>
#include <cstdint>
#include <memory>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "libvmm/base/mutex.h"
#include "libvmm/devices/virtio/rate/token_bucket.h"

namespace libvmm {

// How much a device may do: operations a second and bytes a second. A device
// asks before it takes a request, leaves the request in the ring when the
// answer is no (ChainResult::kLater), and sets the moment that it is told as
// its lane's deadline:
//
//   if (limiter.limited()) {
//     const absl::Duration now = link.clock().Monotonic();
//     if (const absl::Duration ready = limiter.Take(bytes, now); ready > now) {
//       link.SetDeadline(lane, ready);
//       return ChainResult::kLater;
//     }
//   }
//
// Thread-safety: thread-safe: the lanes of a device share one budget, and the
//     embedder changes it at any time.
// Ownership: none.
// Errors: of Create and SetLimits.
// Cost: without a limit one load; else a short lock.
class RateLimiter {
 public:
  struct Limits {
    TokenBucket::Options operations = {};
    TokenBucket::Options bytes = {};
  };

  // kInvalidArgument names the field, as TokenBucket::Create.
  static absl::StatusOr<std::unique_ptr<RateLimiter>> Create(
      const Limits& limits);
  RateLimiter(const RateLimiter&) = delete;
  RateLimiter& operator=(const RateLimiter&) = delete;

  // Whether there is any limit.
  [[nodiscard]] bool limited() const {
    return limited_.load(std::memory_order_relaxed);
  }

  // Takes one operation of `bytes` bytes from both budgets and returns `now`;
  // or takes nothing and returns the later moment at which to ask again.
  [[nodiscard]] absl::Duration Take(uint64_t bytes, absl::Duration now);

  // Undoes a Take whose operation was not done after all.
  void Return(uint64_t bytes);

  // From now on; both budgets are full. Who waits for an old deadline is to ask
  // again. Errors as Create; then nothing has changed.
  absl::Status SetLimits(const Limits& limits);

 private:
  RateLimiter() = default;

  std::atomic<bool> limited_ = false;
  Mutex mutex_;
  TokenBucket operations_ ABSL_GUARDED_BY(mutex_);
  TokenBucket bytes_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_VIRTIO_RATE_RATE_LIMITER_H_
