// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_VIRTIO_RATE_TOKEN_BUCKET_H_
#define LIBVMM_DEVICES_VIRTIO_RATE_TOKEN_BUCKET_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace libvmm {

// A budget that refills with time: so many tokens a second, up to `burst` of
// them, and whoever wants to do something takes what that costs. A pure
// computation: the time is an argument, and when there will be enough is a
// moment that the caller waits for in its own way.
//
// What costs more than the bucket holds passes when the bucket is full, and
// leaves it in debt: the rate holds over time, and nothing waits for ever. Of
// several that take from one bucket, those with small costs can hold up one that
// waits until it is nearly full.
//
// Thread-safety: thread-compatible.
// Errors: of Create. Times that go back count as standing still.
// Cost: a 128-bit division where time has passed. Exact: fractions of tokens
//     are kept, so that many short steps give what one long one does.
class TokenBucket {
 public:
  struct Options {
    // Tokens a second; zero is no limit.
    uint64_t rate = 0;
    // Tokens that a full bucket holds; zero: those of one second.
    uint64_t burst = 0;
  };

  // Both fields at most; above it Create says kInvalidArgument.
  static constexpr uint64_t kMaxTokens = uint64_t{1} << 62;

  // A full bucket. kInvalidArgument names the field.
  static absl::StatusOr<TokenBucket> Create(const Options& options);

  // No limit.
  TokenBucket() = default;

  [[nodiscard]] bool limited() const { return rate_ != 0; }

  // Takes `tokens` if they are there at the time `now`, or if the bucket is
  // full; else takes none and returns false.
  [[nodiscard]] bool Take(uint64_t tokens, absl::Duration now);

  // Gives back what a Take took and was not used after all.
  void Return(uint64_t tokens);

  // The first moment at which Take(tokens) succeeds if nothing else is taken
  // until then; `now` if it would now.
  [[nodiscard]] absl::Duration ReadyAt(uint64_t tokens, absl::Duration now);

  // How many there are at `now`; negative when in debt. Without meaning where
  // there is no limit.
  [[nodiscard]] int64_t Level(absl::Duration now);

 private:
  explicit TokenBucket(const Options& options);

  void Refill(absl::Duration now);
  // What a bucket must hold to give `tokens`.
  [[nodiscard]] int64_t Needed(uint64_t tokens) const;

  uint64_t rate_ = 0;
  int64_t burst_ = 0;
  int64_t level_ = 0;
  // Of a token, in units of 1 / 10^9; below 10^9.
  uint64_t fraction_ = 0;
  // What level_ and fraction_ are of, in nanoseconds.
  int64_t refilled_at_ = 0;
};

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_VIRTIO_RATE_TOKEN_BUCKET_H_
