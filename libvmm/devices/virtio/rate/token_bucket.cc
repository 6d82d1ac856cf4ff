// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/virtio/rate/token_bucket.h"

#include <algorithm>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace libvmm {
namespace {

__extension__ using Wide = unsigned __int128;

constexpr uint64_t kNanosecondsPerSecond = 1'000'000'000;
// Longer than any machine runs; keeps sums inside 64 bits.
constexpr int64_t kLongestWait = int64_t{1} << 61;

absl::Status CheckTokens(absl::string_view field, uint64_t value) {
  if (value <= TokenBucket::kMaxTokens) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("TokenBucket::Options::", field, " ", value, " is above ",
                   TokenBucket::kMaxTokens));
}

int64_t Nanoseconds(absl::Duration time) {
  return std::clamp(absl::ToInt64Nanoseconds(time), -kLongestWait,
                    kLongestWait);
}

}  // namespace

absl::StatusOr<TokenBucket> TokenBucket::Create(const Options& options) {
  if (absl::Status status = CheckTokens("rate", options.rate); !status.ok()) {
    return status;
  }
  if (absl::Status status = CheckTokens("burst", options.burst); !status.ok()) {
    return status;
  }
  return TokenBucket(options);
}

TokenBucket::TokenBucket(const Options& options)
    : rate_(options.rate),
      burst_(static_cast<int64_t>(options.burst == 0 ? options.rate
                                                     : options.burst)),
      level_(burst_) {}

void TokenBucket::Refill(absl::Duration now) {
  const int64_t at = Nanoseconds(now);
  if (at <= refilled_at_) return;
  const auto elapsed = static_cast<uint64_t>(at - refilled_at_);
  refilled_at_ = at;
  const Wide gained = Wide{elapsed} * rate_ + fraction_;
  const Wide tokens = gained / kNanosecondsPerSecond;
  // Not negative and below 2^64: level_ is not below -kMaxTokens.
  const auto room = static_cast<uint64_t>(burst_ - level_);
  if (tokens >= room) {
    level_ = burst_;
    fraction_ = 0;
  } else {
    level_ += static_cast<int64_t>(tokens);
    fraction_ = static_cast<uint64_t>(gained % kNanosecondsPerSecond);
  }
}

int64_t TokenBucket::Needed(uint64_t tokens) const {
  return static_cast<int64_t>(std::min(tokens, static_cast<uint64_t>(burst_)));
}

bool TokenBucket::Take(uint64_t tokens, absl::Duration now) {
  if (!limited()) return true;
  Refill(now);
  if (level_ < Needed(tokens)) return false;
  level_ -= static_cast<int64_t>(std::min(tokens, kMaxTokens));
  return true;
}

void TokenBucket::Return(uint64_t tokens) {
  if (!limited()) return;
  level_ = static_cast<int64_t>(std::min(static_cast<uint64_t>(burst_ - level_),
                                         std::min(tokens, kMaxTokens))) +
           level_;
}

absl::Duration TokenBucket::ReadyAt(uint64_t tokens, absl::Duration now) {
  if (!limited()) return now;
  Refill(now);
  const int64_t needed = Needed(tokens);
  if (level_ >= needed) return now;
  const Wide missing =
      Wide{static_cast<uint64_t>(needed - level_)} * kNanosecondsPerSecond -
      fraction_;
  const Wide wait = (missing + (rate_ - 1)) / rate_;
  // From refilled_at_: what is left of a nanosecond in `now` does not count.
  return absl::Nanoseconds(refilled_at_) +
         absl::Nanoseconds(static_cast<int64_t>(
             std::min(wait, Wide{static_cast<uint64_t>(kLongestWait)})));
}

int64_t TokenBucket::Level(absl::Duration now) {
  Refill(now);
  return level_;
}

}  // namespace libvmm
