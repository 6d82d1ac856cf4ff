// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_PLATFORM_LIMITED_ENTROPY_H_
#define LIBVMM_PLATFORM_LIMITED_ENTROPY_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "libvmm/base/clock.h"
#include "libvmm/devices/virtio/rate/token_bucket.h"

namespace libvmm {

// A source of random bytes that gives so many in a second at most; for
// VirtioEntropy, which asks again later when it got fewer.
//
// Thread-safety: thread-compatible.
// Ownership: owns the source; the clock must outlive it.
// Cost: reads the clock for each call.
class LimitedEntropy {
 public:
  using Source = absl::AnyInvocable<size_t(std::span<std::byte> to)>;

  LimitedEntropy(const Clock& clock, TokenBucket bucket, Source source)
      : clock_(clock), bucket_(std::move(bucket)), source_(std::move(source)) {}

  size_t operator()(std::span<std::byte> to) {
    const absl::Duration now = clock_.Monotonic();
    if (bucket_.limited()) {
      const int64_t level = std::max<int64_t>(bucket_.Level(now), 0);
      to = to.first(std::min(to.size(), static_cast<size_t>(level)));
    }
    if (to.empty()) return 0;
    const size_t size = source_(to);
    (void)bucket_.Take(size, now);
    return size;
  }

 private:
  const Clock& clock_;
  TokenBucket bucket_;
  Source source_;
};

}  // namespace libvmm

#endif  // LIBVMM_PLATFORM_LIMITED_ENTROPY_H_
