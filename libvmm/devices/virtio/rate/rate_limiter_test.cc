// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/virtio/rate/rate_limiter.h"

#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm {
namespace {

using ::libvmm::testing::StatusIs;
using ::testing::HasSubstr;

constexpr absl::Duration kStart = absl::Seconds(50);

std::unique_ptr<RateLimiter> Make(const RateLimiter::Limits& limits) {
  return *RateLimiter::Create(limits);
}

TEST(RateLimiterTest, WithoutLimitsEverythingPassesAtOnce) {
  const auto limiter = Make({});
  EXPECT_FALSE(limiter->limited());
  EXPECT_EQ(limiter->Take(uint64_t{1} << 40, kStart), kStart);
}

TEST(RateLimiterTest, OperationsAreLimited) {
  const auto limiter = Make({.operations = {.rate = 10, .burst = 2}});
  EXPECT_TRUE(limiter->limited());
  EXPECT_EQ(limiter->Take(1 << 20, kStart), kStart);
  EXPECT_EQ(limiter->Take(1 << 20, kStart), kStart);
  EXPECT_EQ(limiter->Take(0, kStart), kStart + absl::Milliseconds(100));
}

TEST(RateLimiterTest, BytesAreLimited) {
  const auto limiter = Make({.bytes = {.rate = 1000, .burst = 100}});
  EXPECT_TRUE(limiter->limited());
  EXPECT_EQ(limiter->Take(100, kStart), kStart);
  EXPECT_EQ(limiter->Take(0, kStart), kStart);
  EXPECT_EQ(limiter->Take(50, kStart), kStart + absl::Milliseconds(50));
}

// Else waiting for bytes would use up operations.
TEST(RateLimiterTest, NothingIsTakenFromOneWhenTheOtherRefuses) {
  const auto limiter = Make({.operations = {.rate = 1, .burst = 2},
                             .bytes = {.rate = 1000, .burst = 100}});
  ASSERT_EQ(limiter->Take(100, kStart), kStart);
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(limiter->Take(10, kStart), kStart + absl::Milliseconds(10));
  }
  const absl::Duration later = kStart + absl::Milliseconds(10);
  EXPECT_EQ(limiter->Take(10, later), later);
}

TEST(RateLimiterTest, TheLaterOfBothMomentsCounts) {
  const auto limiter = Make({.operations = {.rate = 1, .burst = 1},
                             .bytes = {.rate = 1000, .burst = 100}});
  ASSERT_EQ(limiter->Take(100, kStart), kStart);
  EXPECT_EQ(limiter->Take(100, kStart), kStart + absl::Seconds(1));
}

TEST(RateLimiterTest, ReturnUndoesATake) {
  const auto limiter = Make({.operations = {.rate = 1, .burst = 1},
                             .bytes = {.rate = 1000, .burst = 100}});
  ASSERT_EQ(limiter->Take(100, kStart), kStart);
  limiter->Return(100);
  EXPECT_EQ(limiter->Take(100, kStart), kStart);
}

TEST(RateLimiterTest, LimitsChangeAtRunTime) {
  const auto limiter = Make({.operations = {.rate = 1, .burst = 1}});
  ASSERT_EQ(limiter->Take(0, kStart), kStart);
  ASSERT_GT(limiter->Take(0, kStart), kStart);
  EXPECT_OK(limiter->SetLimits({}));
  EXPECT_FALSE(limiter->limited());
  EXPECT_EQ(limiter->Take(0, kStart), kStart);
}

TEST(RateLimiterTest, WrongLimitsAreNamedAndChangeNothing) {
  constexpr uint64_t kTooMany = TokenBucket::kMaxTokens + 1;
  EXPECT_THAT(RateLimiter::Create({.bytes = {.burst = kTooMany}}).status(),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("Limits::bytes"), HasSubstr("burst"))));
  const auto limiter = Make({.operations = {.rate = 1, .burst = 1}});
  EXPECT_THAT(
      limiter->SetLimits({.operations = {.rate = kTooMany}}),
      StatusIs(absl::StatusCode::kInvalidArgument,
               AllOf(HasSubstr("Limits::operations"), HasSubstr("rate"))));
  EXPECT_TRUE(limiter->limited());
}

TEST(RateLimiterTest, ThreadsShareOneBudget) {
  constexpr uint64_t kBurst = 1000;
  const auto limiter = Make({.operations = {.rate = 1, .burst = kBurst}});
  std::atomic<uint64_t> taken = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (uint64_t k = 0; k < kBurst; ++k) {
        if (limiter->Take(1, kStart) == kStart) taken.fetch_add(1);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(taken.load(), kBurst);
}

}  // namespace
}  // namespace libvmm
