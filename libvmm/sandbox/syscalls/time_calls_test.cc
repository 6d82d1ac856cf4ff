// SPDX-License-Identifier: Apache-2.0
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/times.h>
#include <time.h>

#include <cerrno>
#include <cstdint>
#include <vector>

#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/base/address.h"
#include "libvmm/sandbox/syscalls/syscall_host.h"
#include "libvmm/sandbox/syscalls/syscall_outcome.h"
#include "libvmm/sandbox/syscalls/test_process.h"

namespace libvmm::sandbox {
namespace {

using ::libvmm::sandbox::testing::TestProcess;
using ::testing::ElementsAre;

constexpr Gva kOut = TestProcess::kData;
constexpr int64_t kStart = 1'700'000'000;

timespec ClockOf(TestProcess& process, int clock) {
  EXPECT_EQ(process.Value(SYS_clock_gettime, clock, kOut), 0);
  return process.Get<timespec>(kOut);
}

TEST(ClockTest, ClocksAreTheEmbedders) {
  TestProcess process;
  process.clock().Advance(absl::Nanoseconds(2'000'000'003));
  const struct {
    int clock;
    int64_t seconds;
  } rows[] = {
      {CLOCK_REALTIME, kStart + 2}, {CLOCK_REALTIME_COARSE, kStart + 2},
      {CLOCK_TAI, kStart + 2},      {CLOCK_MONOTONIC, 2},
      {CLOCK_MONOTONIC_RAW, 2},     {CLOCK_MONOTONIC_COARSE, 2},
      {CLOCK_BOOTTIME, 2},          {CLOCK_PROCESS_CPUTIME_ID, 2},
      {CLOCK_THREAD_CPUTIME_ID, 2},
  };
  for (const auto& row : rows) {
    const timespec now = ClockOf(process, row.clock);
    EXPECT_EQ(now.tv_sec, row.seconds) << row.clock;
    EXPECT_EQ(now.tv_nsec, 3) << row.clock;
  }
  for (const int clock : {-1, 10, 12, 99}) {
    EXPECT_EQ(process.Value(SYS_clock_gettime, clock, kOut), -EINVAL) << clock;
    EXPECT_EQ(process.Value(SYS_clock_getres, clock, kOut), -EINVAL) << clock;
  }
  EXPECT_EQ(process.Value(SYS_time, 0), kStart + 2);
  EXPECT_EQ(process.Value(SYS_time, kOut), kStart + 2);
  EXPECT_EQ(process.Get<int64_t>(kOut), kStart + 2);
  EXPECT_EQ(process.Value(SYS_gettimeofday, kOut, 0), 0);
  EXPECT_EQ(process.Get<timeval>(kOut).tv_sec, kStart + 2);
  EXPECT_EQ(process.Value(SYS_gettimeofday, 0, kOut), 0);
  EXPECT_EQ(process.Get<int64_t>(kOut), 0);
  EXPECT_EQ(process.Value(SYS_times, kOut), 200);
  EXPECT_EQ(process.Get<tms>(kOut).tms_utime, 200);
  EXPECT_EQ(process.Value(SYS_times, 0), 200);
}

TEST(ClockTest, Resolutions) {
  TestProcess process;
  EXPECT_EQ(process.Value(SYS_clock_getres, CLOCK_MONOTONIC, kOut), 0);
  EXPECT_EQ(process.Get<timespec>(kOut).tv_nsec, 1);
  EXPECT_EQ(process.Value(SYS_clock_getres, CLOCK_REALTIME_COARSE, kOut), 0);
  EXPECT_EQ(process.Get<timespec>(kOut).tv_nsec, 10'000'000);
  EXPECT_EQ(process.Value(SYS_clock_getres, CLOCK_MONOTONIC, 0), 0);
}

TEST(SleepTest, WithoutAFunctionTheClocksJump) {
  TestProcess process;
  EXPECT_EQ(process.Value(SYS_nanosleep,
                          process.PutValue(timespec{3, 500'000'000}), 0),
            0);
  EXPECT_EQ(ClockOf(process, CLOCK_MONOTONIC).tv_sec, 3);
  EXPECT_EQ(ClockOf(process, CLOCK_REALTIME).tv_sec, kStart + 3);
  // Nobody used the processor meanwhile.
  EXPECT_EQ(ClockOf(process, CLOCK_PROCESS_CPUTIME_ID).tv_sec, 0);
  // Absolute, by both clocks; and a moment that is over.
  EXPECT_EQ(process.Value(SYS_clock_nanosleep, CLOCK_MONOTONIC, TIMER_ABSTIME,
                          process.PutValue(timespec{10, 0}), 0),
            0);
  EXPECT_EQ(ClockOf(process, CLOCK_MONOTONIC).tv_sec, 10);
  EXPECT_EQ(process.Value(SYS_clock_nanosleep, CLOCK_REALTIME, TIMER_ABSTIME,
                          process.PutValue(timespec{kStart + 20, 0}), 0),
            0);
  EXPECT_EQ(ClockOf(process, CLOCK_MONOTONIC).tv_sec, 20);
  EXPECT_EQ(process.Value(SYS_clock_nanosleep, CLOCK_MONOTONIC, TIMER_ABSTIME,
                          process.PutValue(timespec{5, 0}), 0),
            0);
  EXPECT_EQ(ClockOf(process, CLOCK_MONOTONIC).tv_sec, 20);
}

TEST(SleepTest, WrongTimes) {
  TestProcess process;
  for (const timespec& time :
       {timespec{-1, 0}, timespec{0, -1}, timespec{0, 1'000'000'000}}) {
    EXPECT_EQ(process.Value(SYS_nanosleep, process.PutValue(time), 0), -EINVAL);
  }
  process.PutValue(timespec{1, 0});
  for (const int clock :
       {CLOCK_PROCESS_CPUTIME_ID, CLOCK_MONOTONIC_COARSE, 99}) {
    EXPECT_EQ(
        process.Value(SYS_clock_nanosleep, clock, 0, TestProcess::kScratch, 0),
        -EINVAL);
  }
}

TEST(SleepTest, TheEmbedderSleepsForReal) {
  TestProcess process;
  std::vector<absl::Duration> asked;
  process.host().sleep = [&](absl::Duration left) {
    asked.push_back(left);
    process.clock().Advance(left);
    return SleepResult::kSlept;
  };
  EXPECT_EQ(process.Value(SYS_nanosleep, process.PutValue(timespec{3, 0}), 0),
            0);
  EXPECT_THAT(asked, ElementsAre(absl::Seconds(3)));
  EXPECT_EQ(ClockOf(process, CLOCK_MONOTONIC).tv_sec, 3);
  EXPECT_EQ(process.process().skipped_time, absl::ZeroDuration());
  // Nothing to sleep: nobody is asked.
  EXPECT_EQ(process.Value(SYS_nanosleep, process.PutValue(timespec{0, 0}), 0),
            0);
  EXPECT_EQ(asked.size(), 1u);
}

TEST(SleepTest, PendingSleepGoesOnWhereItWas) {
  TestProcess process;
  std::vector<absl::Duration> asked;
  process.host().sleep = [&](absl::Duration left) {
    asked.push_back(left);
    return SleepResult::kPending;
  };
  const Gva time = process.PutValue(timespec{3, 0});
  EXPECT_EQ(process.Call(SYS_nanosleep, time, 0),
            SyscallOutcome(SyscallPending{}));
  process.clock().Advance(absl::Seconds(1));
  EXPECT_EQ(process.Call(SYS_nanosleep, time, 0),
            SyscallOutcome(SyscallPending{}));
  process.clock().Advance(absl::Seconds(2));
  EXPECT_EQ(process.Call(SYS_nanosleep, time, 0),
            SyscallOutcome(SyscallReturned{0}));
  EXPECT_THAT(asked, ElementsAre(absl::Seconds(3), absl::Seconds(2)));
  // The next sleep is a new one.
  EXPECT_EQ(process.Call(SYS_nanosleep, time, 0),
            SyscallOutcome(SyscallPending{}));
  EXPECT_EQ(asked.back(), absl::Seconds(3));
}

TEST(SleepTest, EndlessWaitIsPendingOrADeadlock) {
  TestProcess process;
  absl::Duration asked;
  SleepResult result = SleepResult::kPending;
  process.host().sleep = [&](absl::Duration left) {
    asked = left;
    return result;
  };
  const auto wait = [&] { return process.Call(SYS_poll, 0, 0, -1); };
  EXPECT_EQ(wait(), SyscallOutcome(SyscallPending{}));
  EXPECT_EQ(asked, absl::InfiniteDuration());
  process.clock().Advance(absl::Seconds(5));
  EXPECT_EQ(wait(), SyscallOutcome(SyscallPending{}));
  EXPECT_EQ(asked, absl::InfiniteDuration());
  for (const SleepResult other : {SleepResult::kSlept, SleepResult::kSkipped}) {
    result = other;
    EXPECT_EQ(wait(), SyscallOutcome(ProgramDeadlocked{}));
  }
}

TEST(SleepTest, LongestSleepsDoNotOverflow) {
  TestProcess process;
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(process.Value(SYS_nanosleep,
                            process.PutValue(timespec{INT64_MAX / 2, 0}), 0),
              0);
    const timespec now = ClockOf(process, CLOCK_MONOTONIC);
    EXPECT_GT(now.tv_sec, 0);
    EXPECT_LE(now.tv_sec, int64_t{100} * 365 * 24 * 3600);
  }
  const SyscallOutcome outcome = process.Call(
      SYS_nanosleep, process.PutValue(timespec{INT64_MAX, 999'999'999}), 0);
  EXPECT_TRUE(outcome == SyscallOutcome(SyscallReturned{0}) ||
              outcome == SyscallOutcome(ProgramDeadlocked{}));
}

}  // namespace
}  // namespace libvmm::sandbox
