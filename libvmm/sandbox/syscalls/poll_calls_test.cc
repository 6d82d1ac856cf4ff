// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <poll.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <span>
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

constexpr Gva kPolled = TestProcess::kData;

// A pipe: descriptors of its two ends.
std::array<int32_t, 2> MakePipe(TestProcess& process) {
  EXPECT_EQ(process.Value(SYS_pipe, TestProcess::kScratch), 0);
  return process.Get<std::array<int32_t, 2>>(TestProcess::kScratch);
}

void PutPolled(TestProcess& process, const std::vector<pollfd>& polled) {
  process.PutBytes(std::as_bytes(std::span(polled)), kPolled);
}

int16_t Revents(TestProcess& process, size_t index) {
  return process.Get<pollfd>(kPolled + index * sizeof(pollfd)).revents;
}

TEST(PollTest, WhatIsReady) {
  TestProcess process;
  const auto pipe = MakePipe(process);
  PutPolled(process, {{0, POLLIN, 77},
                      {1, POLLOUT, 77},
                      {pipe[0], POLLIN, 77},
                      {pipe[1], POLLOUT, 77},
                      {-1, POLLIN, 77},
                      {99, POLLIN, 77}});
  EXPECT_EQ(process.Value(SYS_poll, kPolled, 6, -1), 4);
  const int16_t expected[] = {POLLIN, POLLOUT, 0, POLLOUT, 0, POLLNVAL};
  for (size_t i = 0; i < std::size(expected); ++i) {
    EXPECT_EQ(Revents(process, i), expected[i]) << i;
  }
}

TEST(PollTest, TimesOutAndDeadlocks) {
  TestProcess process;
  const auto pipe = MakePipe(process);
  PutPolled(process, {{pipe[0], POLLIN, 77}});
  EXPECT_EQ(process.Value(SYS_poll, kPolled, 1, 0), 0);
  EXPECT_EQ(process.context().Monotonic(), absl::ZeroDuration());
  EXPECT_EQ(process.Value(SYS_poll, kPolled, 1, 1500), 0);
  EXPECT_EQ(process.context().Monotonic(), absl::Milliseconds(1500));
  EXPECT_EQ(Revents(process, 0), 0);
  EXPECT_EQ(process.Value(SYS_ppoll, kPolled, 1,
                          process.PutValue(timespec{1, 0}), 0, 8),
            0);
  EXPECT_EQ(process.context().Monotonic(), absl::Milliseconds(2500));
  EXPECT_EQ(process.Call(SYS_poll, kPolled, 1, -1),
            SyscallOutcome(ProgramDeadlocked{}));
  EXPECT_EQ(process.Call(SYS_ppoll, 0, 0, 0, 0, 8),
            SyscallOutcome(ProgramDeadlocked{}));
  EXPECT_EQ(process.Value(SYS_ppoll, kPolled, 1,
                          process.PutValue(timespec{1, -1}), 0, 8),
            -EINVAL);
  EXPECT_EQ(process.Value(SYS_poll, kPolled, 1025, 0), -EINVAL);
  EXPECT_EQ(process.Value(SYS_poll, kPolled, -1, 0), -EINVAL);
}

TEST(PollTest, EmbedderMayWaitForReal) {
  TestProcess process;
  const auto pipe = MakePipe(process);
  PutPolled(process, {{pipe[0], POLLIN, 0}});
  process.host().sleep = [](absl::Duration) { return SleepResult::kPending; };
  EXPECT_EQ(process.Call(SYS_poll, kPolled, 1, -1),
            SyscallOutcome(SyscallPending{}));
  EXPECT_EQ(process.Call(SYS_poll, kPolled, 1, 10),
            SyscallOutcome(SyscallPending{}));
}

TEST(SelectTest, WhatIsReady) {
  TestProcess process;
  const auto pipe = MakePipe(process);
  ASSERT_LT(pipe[1], 64);
  const uint64_t ends = uint64_t{1} << pipe[0] | uint64_t{1} << pipe[1];
  const Gva reading = kPolled;
  const Gva writing = kPolled + 128;
  process.PutValue(uint64_t{1} | uint64_t{1} << pipe[0], reading);
  process.PutValue(uint64_t{6} | uint64_t{1} << pipe[1], writing);
  EXPECT_EQ(process.Value(SYS_select, pipe[1] + 1, reading, writing, 0, 0), 4);
  EXPECT_EQ(process.Get<uint64_t>(reading), 1u);
  EXPECT_EQ(process.Get<uint64_t>(writing), 6u | uint64_t{1} << pipe[1]);
  // With bytes in it both ends are.
  EXPECT_EQ(process.Value(SYS_write, pipe[1], kPolled, 1), 1);
  process.PutValue(ends, reading);
  EXPECT_EQ(process.Value(SYS_pselect6, pipe[1] + 1, reading, 0, 0, 0, 0), 1);
  EXPECT_EQ(process.Get<uint64_t>(reading), uint64_t{1} << pipe[0]);
}

TEST(SelectTest, TimesOutAndDeadlocks) {
  TestProcess process;
  const auto pipe = MakePipe(process);
  process.PutValue(uint64_t{1} << pipe[0], kPolled);
  EXPECT_EQ(process.Value(SYS_select, 64, kPolled, 0, 0,
                          process.PutValue(timeval{2, 1'500'000})),
            0);
  EXPECT_EQ(process.Get<uint64_t>(kPolled), 0u);
  EXPECT_EQ(process.context().Monotonic(), absl::Milliseconds(3500));
  EXPECT_EQ(process.Value(SYS_pselect6, 0, 0, 0, 0,
                          process.PutValue(timespec{1, 0}), 0),
            0);
  EXPECT_EQ(process.context().Monotonic(), absl::Milliseconds(4500));
  EXPECT_EQ(process.Call(SYS_select, 0, 0, 0, 0, 0),
            SyscallOutcome(ProgramDeadlocked{}));
  process.PutValue(uint64_t{1} << 50, kPolled);
  EXPECT_EQ(process.Value(SYS_select, 64, kPolled, 0, 0, 0), -EBADF);
  EXPECT_EQ(process.Value(SYS_select, -1, 0, 0, 0, 0), -EINVAL);
  EXPECT_EQ(process.Value(SYS_select, 1025, 0, 0, 0, 0), -EINVAL);
  EXPECT_EQ(
      process.Value(SYS_select, 0, 0, 0, 0, process.PutValue(timeval{-1, 0})),
      -EINVAL);
}

}  // namespace
}  // namespace libvmm::sandbox
