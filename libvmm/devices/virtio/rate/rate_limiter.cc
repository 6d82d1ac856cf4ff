// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/virtio/rate/rate_limiter.h"

#include <algorithm>
#include <atomic>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "libvmm/base/status_macros.h"

namespace libvmm {
namespace {

absl::StatusOr<TokenBucket> Bucket(absl::string_view field,
                                   const TokenBucket::Options& options) {
  absl::StatusOr<TokenBucket> bucket = TokenBucket::Create(options);
  if (bucket.ok()) return bucket;
  return absl::Status(bucket.status().code(),
                      absl::StrCat("RateLimiter::Limits::", field, ": ",
                                   bucket.status().message()));
}

}  // namespace

absl::StatusOr<std::unique_ptr<RateLimiter>> RateLimiter::Create(
    const Limits& limits) {
  std::unique_ptr<RateLimiter> limiter(new RateLimiter());
  LIBVMM_RETURN_IF_ERROR(limiter->SetLimits(limits));
  return limiter;
}

absl::Status RateLimiter::SetLimits(const Limits& limits) {
  LIBVMM_ASSIGN_OR_RETURN(const TokenBucket operations,
                          Bucket("operations", limits.operations));
  LIBVMM_ASSIGN_OR_RETURN(const TokenBucket bytes,
                          Bucket("bytes", limits.bytes));
  const MutexLock lock(mutex_);
  operations_ = operations;
  bytes_ = bytes;
  limited_.store(operations.limited() || bytes.limited(),
                 std::memory_order_relaxed);
  return absl::OkStatus();
}

absl::Duration RateLimiter::Take(uint64_t bytes, absl::Duration now) {
  const MutexLock lock(mutex_);
  const absl::Duration ready =
      std::max(operations_.ReadyAt(1, now), bytes_.ReadyAt(bytes, now));
  if (ready > now) return ready;
  // Both are ready, so neither refuses.
  (void)operations_.Take(1, now);
  (void)bytes_.Take(bytes, now);
  return now;
}

void RateLimiter::Return(uint64_t bytes) {
  const MutexLock lock(mutex_);
  operations_.Return(1);
  bytes_.Return(bytes);
}

}  // namespace libvmm
