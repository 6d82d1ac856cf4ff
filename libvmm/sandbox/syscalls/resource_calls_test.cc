// SPDX-License-Identifier: Apache-2.0
#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include <cerrno>
#include <cstdint>

#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/base/address.h"
#include "libvmm/sandbox/syscalls/process_state.h"
#include "libvmm/sandbox/syscalls/test_process.h"

namespace libvmm::sandbox {
namespace {

using ::libvmm::sandbox::testing::TestProcess;
using Limit = ProcessState::Limit;

constexpr Gva kOut = TestProcess::kData;

TEST(LimitTest, StartAsLinuxs) {
  TestProcess process;
  EXPECT_EQ(process.Value(SYS_getrlimit, RLIMIT_STACK, kOut), 0);
  EXPECT_EQ(process.Get<Limit>(kOut),
            (Limit{.soft = 8 << 20, .hard = UINT64_MAX}));
  EXPECT_EQ(process.Value(SYS_getrlimit, RLIMIT_NOFILE, kOut), 0);
  EXPECT_EQ(process.Get<Limit>(kOut), (Limit{.soft = 1024, .hard = 1024}));
  EXPECT_EQ(process.Value(SYS_getrlimit, RLIMIT_AS, kOut), 0);
  EXPECT_EQ(process.Get<Limit>(kOut), Limit());
}

TEST(LimitTest, ChangesAreRemembered) {
  TestProcess process;
  const Limit lower = {.soft = 100, .hard = 200};
  EXPECT_EQ(process.Value(SYS_setrlimit, RLIMIT_DATA, process.PutValue(lower)),
            0);
  EXPECT_EQ(process.Value(SYS_prlimit64, 0, RLIMIT_DATA, 0, kOut), 0);
  EXPECT_EQ(process.Get<Limit>(kOut), lower);
  EXPECT_EQ(
      process.Value(SYS_prlimit64, 1, RLIMIT_DATA,
                    process.PutValue(Limit{.soft = 1, .hard = 150}), kOut),
      0);
  EXPECT_EQ(process.Get<Limit>(kOut), lower);
  // Not upwards, and not upside down.
  EXPECT_EQ(process.Value(SYS_setrlimit, RLIMIT_DATA,
                          process.PutValue(Limit{.soft = 1, .hard = 151})),
            -EPERM);
  EXPECT_EQ(process.Value(SYS_setrlimit, RLIMIT_DATA,
                          process.PutValue(Limit{.soft = 3, .hard = 2})),
            -EINVAL);
  EXPECT_EQ(process.Value(SYS_getrlimit, 16, kOut), -EINVAL);
  EXPECT_EQ(process.Value(SYS_getrlimit, -1, kOut), -EINVAL);
  EXPECT_EQ(process.Value(SYS_prlimit64, 2, RLIMIT_DATA, 0, kOut), -ESRCH);
  EXPECT_EQ(process.Value(SYS_getrlimit, RLIMIT_DATA, 0), -EFAULT);
  EXPECT_EQ(process.Value(SYS_setrlimit, RLIMIT_DATA, 0), -EFAULT);
}

TEST(UsageTest, TimeOfTheProcessorAlone) {
  TestProcess process;
  process.clock().Advance(absl::Seconds(3));
  for (const int who : {RUSAGE_SELF, RUSAGE_THREAD}) {
    EXPECT_EQ(process.Value(SYS_getrusage, who, kOut), 0);
    EXPECT_EQ(process.Get<rusage>(kOut).ru_utime.tv_sec, 3);
  }
  EXPECT_EQ(process.Value(SYS_getrusage, RUSAGE_CHILDREN, kOut), 0);
  EXPECT_EQ(process.Get<rusage>(kOut).ru_utime.tv_sec, 0);
  EXPECT_EQ(process.Value(SYS_getrusage, 5, kOut), -EINVAL);
}

TEST(SchedulingTest, OneCpu) {
  TestProcess process;
  EXPECT_EQ(process.Value(SYS_sched_yield), 0);
  EXPECT_EQ(process.Value(SYS_sched_getaffinity, 0, 128, kOut), 8);
  EXPECT_EQ(process.Get<uint64_t>(kOut), 1u);
  EXPECT_EQ(process.Value(SYS_sched_getaffinity, 0, 7, kOut), -EINVAL);
  EXPECT_EQ(process.Value(SYS_sched_getaffinity, 0, 12, kOut), -EINVAL);
  EXPECT_EQ(process.Value(SYS_sched_getaffinity, 9, 8, kOut), -ESRCH);
  EXPECT_EQ(
      process.Value(SYS_sched_setaffinity, 0, 8, process.PutValue(uint64_t{3})),
      0);
  EXPECT_EQ(
      process.Value(SYS_sched_setaffinity, 0, 8, process.PutValue(uint64_t{2})),
      -EINVAL);
  EXPECT_EQ(process.Value(SYS_sched_setaffinity, 0, 0, kOut), -EINVAL);
  EXPECT_EQ(process.Value(SYS_sched_setaffinity, 9, 8, kOut), -ESRCH);
  EXPECT_EQ(process.Value(SYS_sched_getscheduler, 0), SCHED_OTHER);
  EXPECT_EQ(process.Value(SYS_sched_getscheduler, -1), -EINVAL);
  EXPECT_EQ(process.Value(SYS_sched_getscheduler, 9), -ESRCH);
  EXPECT_EQ(process.Value(SYS_sched_getparam, 0, kOut), 0);
  EXPECT_EQ(process.Value(SYS_sched_getparam, 0, 0), -EINVAL);
  EXPECT_EQ(process.Value(SYS_sched_getparam, 9, kOut), -ESRCH);
  EXPECT_EQ(process.Value(SYS_getpriority, PRIO_PROCESS, 0), 20);
  EXPECT_EQ(process.Value(SYS_getpriority, 3, 0), -EINVAL);
  EXPECT_EQ(process.Value(SYS_setpriority, PRIO_PROCESS, 0, 5), 0);
  EXPECT_EQ(process.Value(SYS_setpriority, -1, 0, 5), -EINVAL);
  process.PutValue(uint64_t{~uint64_t{0}}, kOut);
  EXPECT_EQ(process.Value(SYS_getcpu, kOut, kOut + 4, 0), 0);
  EXPECT_EQ(process.Get<uint64_t>(kOut), 0u);
  EXPECT_EQ(process.Value(SYS_getcpu, 0, 0, 0), 0);
}

}  // namespace
}  // namespace libvmm::sandbox
