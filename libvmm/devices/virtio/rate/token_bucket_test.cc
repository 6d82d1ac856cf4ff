// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/virtio/rate/token_bucket.h"

#include <cstdint>
#include <limits>
#include <random>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm {
namespace {

using ::libvmm::testing::StatusIs;
using ::testing::HasSubstr;

constexpr absl::Duration kStart = absl::Seconds(1000);

TokenBucket Make(uint64_t rate, uint64_t burst) {
  return *TokenBucket::Create({.rate = rate, .burst = burst});
}

TEST(TokenBucketTest, WithoutARateEverythingPasses) {
  TokenBucket bucket = Make(0, 5);
  EXPECT_FALSE(bucket.limited());
  EXPECT_TRUE(bucket.Take(std::numeric_limits<uint64_t>::max(), kStart));
  EXPECT_TRUE(bucket.Take(1, kStart));
  EXPECT_EQ(bucket.ReadyAt(7, kStart), kStart);
}

TEST(TokenBucketTest, StartsFullAndGivesNoMoreThanThat) {
  TokenBucket bucket = Make(10, 3);
  EXPECT_TRUE(bucket.limited());
  EXPECT_TRUE(bucket.Take(2, kStart));
  EXPECT_FALSE(bucket.Take(2, kStart));
  EXPECT_TRUE(bucket.Take(1, kStart));
  EXPECT_FALSE(bucket.Take(1, kStart));
  EXPECT_EQ(bucket.Level(kStart), 0);
}

TEST(TokenBucketTest, BurstIsASecondsWorthByDefault) {
  EXPECT_EQ(Make(1000, 0).Level(kStart), 1000);
}

TEST(TokenBucketTest, ReadyAtIsTheFirstMomentAtWhichTakeSucceeds) {
  TokenBucket bucket = Make(3, 10);
  ASSERT_TRUE(bucket.Take(10, kStart));
  const absl::Duration ready = bucket.ReadyAt(2, kStart);
  // Two thirds of a second, rounded up to nanoseconds.
  EXPECT_EQ(ready - kStart, absl::Nanoseconds(666'666'667));
  TokenBucket early = bucket;
  EXPECT_FALSE(early.Take(2, ready - absl::Nanoseconds(1)));
  EXPECT_TRUE(bucket.Take(2, ready));
}

TEST(TokenBucketTest, ARequestLargerThanTheBucketPassesWhenItIsFull) {
  TokenBucket bucket = Make(100, 10);
  ASSERT_TRUE(bucket.Take(1, kStart));
  EXPECT_FALSE(bucket.Take(500, kStart));
  const absl::Duration full = bucket.ReadyAt(500, kStart);
  EXPECT_EQ(full - kStart, absl::Milliseconds(10));
  EXPECT_TRUE(bucket.Take(500, full));
  // And is paid for afterwards.
  EXPECT_EQ(bucket.Level(full), -490);
  EXPECT_EQ(bucket.ReadyAt(1, full) - full, absl::Milliseconds(4910));
}

TEST(TokenBucketTest, ReturnGivesBackUpToAFullBucket) {
  TokenBucket bucket = Make(100, 10);
  ASSERT_TRUE(bucket.Take(8, kStart));
  bucket.Return(5);
  EXPECT_EQ(bucket.Level(kStart), 7);
  bucket.Return(std::numeric_limits<uint64_t>::max());
  EXPECT_EQ(bucket.Level(kStart), 10);
}

TEST(TokenBucketTest, TimeThatGoesBackGivesNothing) {
  TokenBucket bucket = Make(10, 10);
  ASSERT_TRUE(bucket.Take(10, kStart));
  EXPECT_FALSE(bucket.Take(1, kStart - absl::Seconds(5)));
  EXPECT_EQ(bucket.Level(kStart + absl::Milliseconds(500)), 5);
}

// Fractions are kept: steps below a token's time add up exactly.
TEST(TokenBucketTest, ManyShortStepsGiveWhatOneLongOneDoes) {
  TokenBucket steps = Make(7, 100);
  TokenBucket once = steps;
  ASSERT_TRUE(steps.Take(100, kStart));
  ASSERT_TRUE(once.Take(100, kStart));
  absl::Duration now = kStart;
  for (int i = 0; i < 10'000; ++i) {
    now += absl::Nanoseconds(1'234'567);
    (void)steps.Level(now);
  }
  EXPECT_EQ(steps.Level(now), once.Level(now));
  EXPECT_EQ(steps.ReadyAt(100, now), once.ReadyAt(100, now));
  EXPECT_EQ(once.Level(now), 86);
}

TEST(TokenBucketTest, OverTimeTheRateHolds) {
  TokenBucket bucket = Make(1'000'000, 5000);
  std::mt19937_64 random(1);
  absl::Duration now = kStart;
  uint64_t taken = 0;
  while (now < kStart + absl::Seconds(10)) {
    // Some are larger than the bucket.
    const uint64_t tokens = random() % 9000;
    const absl::Duration ready = bucket.ReadyAt(tokens, now);
    ASSERT_GE(ready, now);
    now = ready;
    ASSERT_TRUE(bucket.Take(tokens, now));
    taken += tokens;
  }
  EXPECT_GE(taken, 9'990'000u);
  EXPECT_LE(taken, 10'015'000u);
}

TEST(TokenBucketTest, LargestValuesDoNotOverflow) {
  constexpr uint64_t kMax = TokenBucket::kMaxTokens;
  TokenBucket fast = Make(kMax, kMax);
  EXPECT_TRUE(fast.Take(std::numeric_limits<uint64_t>::max(), kStart));
  EXPECT_EQ(fast.Level(kStart), 0);
  EXPECT_TRUE(fast.Take(kMax, absl::InfiniteDuration()));
  TokenBucket slow = Make(1, 1);
  EXPECT_TRUE(slow.Take(kMax, kStart));
  EXPECT_EQ(slow.Level(kStart), 1 - static_cast<int64_t>(kMax));
  EXPECT_FALSE(slow.Take(1, kStart));
  // Not before the machine's end, but a moment.
  const absl::Duration ready = slow.ReadyAt(1, kStart);
  EXPECT_GT(ready, kStart + absl::Hours(24 * 365 * 10));
  EXPECT_LT(ready, absl::InfiniteDuration());
}

TEST(TokenBucketTest, OptionsAboveTheMaximumAreNamed) {
  constexpr uint64_t kTooMany = TokenBucket::kMaxTokens + 1;
  EXPECT_THAT(TokenBucket::Create({.rate = kTooMany}).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("rate")));
  EXPECT_THAT(TokenBucket::Create({.burst = kTooMany}).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("burst")));
}

}  // namespace
}  // namespace libvmm
