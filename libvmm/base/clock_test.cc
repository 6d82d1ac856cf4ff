// SPDX-License-Identifier: Apache-2.0
#include "libvmm/base/clock.h"

#include <gtest/gtest.h>
#include <time.h>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "libvmm/base/manual_clock.h"

namespace libvmm {
namespace {

TEST(SystemClockTest, MonotonicIsTheSystemsMonotonicClock) {
  const SystemClock clock;
  timespec before{};
  timespec after{};
  clock_gettime(CLOCK_MONOTONIC, &before);
  const absl::Duration time = clock.Monotonic();
  clock_gettime(CLOCK_MONOTONIC, &after);
  EXPECT_GE(time, absl::DurationFromTimespec(before));
  EXPECT_LE(time, absl::DurationFromTimespec(after));
}

TEST(SystemClockTest, NowIsTheTimeOfDay) {
  const SystemClock clock;
  const absl::Time before = absl::Now();
  const absl::Time time = clock.Now();
  const absl::Time after = absl::Now();
  // absl::Now() interpolates by the TSC and may be off by some microseconds.
  EXPECT_GE(time, before - absl::Seconds(1));
  EXPECT_LE(time, after + absl::Seconds(1));
}

TEST(ManualClockTest, StandsStillUntilItIsMoved) {
  ManualClock clock(absl::FromUnixSeconds(1000));
  EXPECT_EQ(clock.Monotonic(), absl::ZeroDuration());
  EXPECT_EQ(clock.Now(), absl::FromUnixSeconds(1000));
  clock.Advance(absl::Milliseconds(1500));
  EXPECT_EQ(clock.Monotonic(), absl::Milliseconds(1500));
  EXPECT_EQ(clock.Now(), absl::FromUnixMillis(1001500));
}

TEST(ManualClockTest, SettingTheTimeOfDayLeavesTheMonotonicTime) {
  ManualClock clock(absl::FromUnixSeconds(1000));
  clock.Advance(absl::Seconds(5));
  clock.SetNow(absl::FromUnixSeconds(7));
  EXPECT_EQ(clock.Monotonic(), absl::Seconds(5));
  EXPECT_EQ(clock.Now(), absl::FromUnixSeconds(7));
}

TEST(ManualClockTest, NeverGoesBack) {
  ManualClock clock(absl::FromUnixSeconds(1000));
  clock.Advance(absl::Seconds(5));
  clock.Advance(-absl::Seconds(1));
  EXPECT_EQ(clock.Monotonic(), absl::Seconds(5));
  EXPECT_EQ(clock.Now(), absl::FromUnixSeconds(1005));
}

}  // namespace
}  // namespace libvmm
