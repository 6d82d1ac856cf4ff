// SPDX-License-Identifier: Apache-2.0
#include <asm/prctl.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>

#include <cerrno>
#include <cstdint>

#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/base/address.h"
#include "libvmm/sandbox/address_space/address_space.h"
#include "libvmm/sandbox/syscalls/syscall_outcome.h"
#include "libvmm/sandbox/syscalls/test_process.h"

namespace libvmm::sandbox {
namespace {

using ::libvmm::sandbox::testing::TestProcess;

constexpr Gva kWord = TestProcess::kData;
constexpr Gva kOther = TestProcess::kData + 64;

TEST(ThreadTest, PlacesAreRemembered) {
  TestProcess process;
  EXPECT_EQ(process.Value(SYS_set_tid_address, 0x1234), 1);
  EXPECT_EQ(process.process().clear_child_tid, Gva(0x1234));
  EXPECT_EQ(process.Value(SYS_set_robust_list, 0x5678, 24), 0);
  EXPECT_EQ(process.process().robust_list, Gva(0x5678));
  EXPECT_EQ(process.Value(SYS_set_robust_list, 0x9999, 23), -EINVAL);
  EXPECT_EQ(process.process().robust_list, Gva(0x5678));
  EXPECT_EQ(process.Value(SYS_rseq, kWord, 32, 0, 0), -ENOSYS);
  EXPECT_EQ(process.Value(SYS_membarrier, 0, 0, 0), 0);
  EXPECT_EQ(process.Value(SYS_membarrier, 8, 0, 0), -EINVAL);
  EXPECT_EQ(process.Value(SYS_membarrier, 0, 1, 0), -EINVAL);
}

TEST(ArchPrctlTest, BasesAreForTheRunLoop) {
  TestProcess process;
  EXPECT_FALSE(process.context().TakeSegmentBasesChanged());
  EXPECT_EQ(process.Value(SYS_arch_prctl, ARCH_SET_FS, 0x7000), 0);
  EXPECT_TRUE(process.context().TakeSegmentBasesChanged());
  EXPECT_FALSE(process.context().TakeSegmentBasesChanged());
  EXPECT_EQ(process.Value(SYS_arch_prctl, ARCH_SET_GS, 0x8000), 0);
  EXPECT_TRUE(process.context().TakeSegmentBasesChanged());
  EXPECT_EQ(process.Value(SYS_arch_prctl, ARCH_GET_FS, kWord), 0);
  EXPECT_EQ(process.Get<uint64_t>(kWord), 0x7000u);
  EXPECT_EQ(process.Value(SYS_arch_prctl, ARCH_GET_GS, kWord), 0);
  EXPECT_EQ(process.Get<uint64_t>(kWord), 0x8000u);
  EXPECT_FALSE(process.context().TakeSegmentBasesChanged());
}

TEST(ArchPrctlTest, WrongArguments) {
  TestProcess process;
  for (const uint64_t base : {AddressSpace::kUserEnd.value(), uint64_t{1} << 47,
                              uint64_t{1} << 63, UINT64_MAX}) {
    EXPECT_EQ(process.Value(SYS_arch_prctl, ARCH_SET_FS, base), -EPERM);
    EXPECT_EQ(process.Value(SYS_arch_prctl, ARCH_SET_GS, base), -EPERM);
  }
  EXPECT_EQ(process.Value(SYS_arch_prctl, 0x3001, 0), -EINVAL);
  EXPECT_FALSE(process.context().TakeSegmentBasesChanged());
}

TEST(FutexTest, WaitOfALoneThread) {
  TestProcess process;
  process.PutValue(uint32_t{7}, kWord);
  const Gva timeout = process.PutValue(timespec{5, 0});
  for (const int flag : {0, FUTEX_PRIVATE_FLAG}) {
    // The word is another already: there is nothing to wait for.
    EXPECT_EQ(process.Value(SYS_futex, kWord, FUTEX_WAIT | flag, 8, 0),
              -EAGAIN);
    EXPECT_EQ(process.Call(SYS_futex, kWord, FUTEX_WAIT | flag, 7, 0),
              SyscallOutcome(ProgramDeadlocked{}));
    EXPECT_EQ(process.Value(SYS_futex, kWord, FUTEX_WAIT | flag, 7, timeout),
              -ETIMEDOUT);
  }
  EXPECT_EQ(process.context().Monotonic(), absl::Seconds(10));
  EXPECT_EQ(process.Value(SYS_futex, kWord + 1, FUTEX_WAIT, 7, 0), -EINVAL);
  EXPECT_EQ(process.Value(SYS_futex, kWord, FUTEX_WAIT, 7,
                          process.PutValue(timespec{-1, 0})),
            -EINVAL);
}

TEST(FutexTest, WaitUntilAMoment) {
  TestProcess process;
  process.PutValue(uint32_t{7}, kWord);
  EXPECT_EQ(process.Value(SYS_futex, kWord, FUTEX_WAIT_BITSET, 7,
                          process.PutValue(timespec{5, 0}), 0, 1),
            -ETIMEDOUT);
  EXPECT_EQ(process.context().Monotonic(), absl::Seconds(5));
  const int64_t now = absl::ToUnixSeconds(process.context().Now());
  EXPECT_EQ(
      process.Value(SYS_futex, kWord, FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME,
                    7, process.PutValue(timespec{now + 3, 0}), 0, 1),
      -ETIMEDOUT);
  EXPECT_EQ(process.context().Monotonic(), absl::Seconds(8));
  // A moment that is over takes no time.
  EXPECT_EQ(process.Value(SYS_futex, kWord, FUTEX_WAIT_BITSET, 7,
                          process.PutValue(timespec{5, 0}), 0, 1),
            -ETIMEDOUT);
  EXPECT_EQ(process.context().Monotonic(), absl::Seconds(8));
  EXPECT_EQ(process.Value(SYS_futex, kWord, FUTEX_WAIT_BITSET, 7, 0, 0, 0),
            -EINVAL);
}

TEST(FutexTest, NobodyToWake) {
  TestProcess process;
  process.PutValue(uint32_t{7}, kWord);
  EXPECT_EQ(process.Value(SYS_futex, kWord, FUTEX_WAKE, 1), 0);
  EXPECT_EQ(process.Value(SYS_futex, kWord + 2, FUTEX_WAKE, 1), -EINVAL);
  EXPECT_EQ(process.Value(SYS_futex, kWord, FUTEX_WAKE_BITSET, 1, 0, 0, 1), 0);
  EXPECT_EQ(process.Value(SYS_futex, kWord, FUTEX_WAKE_BITSET, 1, 0, 0, 0),
            -EINVAL);
  EXPECT_EQ(process.Value(SYS_futex, kWord, FUTEX_REQUEUE, 1, 1, kOther), 0);
  EXPECT_EQ(process.Value(SYS_futex, kWord, FUTEX_CMP_REQUEUE, 1, 1, kOther, 7),
            0);
  EXPECT_EQ(process.Value(SYS_futex, kWord, FUTEX_CMP_REQUEUE, 1, 1, kOther, 8),
            -EAGAIN);
  EXPECT_EQ(process.Value(SYS_futex, kWord, FUTEX_REQUEUE, -1, 1, kOther),
            -EINVAL);
  EXPECT_EQ(process.Value(SYS_futex, kWord, FUTEX_LOCK_PI, 0, 0), -ENOSYS);
  EXPECT_EQ(process.Value(SYS_futex, kWord, 99, 0, 0), -ENOSYS);
}

TEST(FutexTest, WakeOpChangesTheSecondWord) {
  const struct {
    uint32_t operation;
    uint32_t before;
    uint32_t operand;
    uint32_t after;
  } rows[] = {
      {FUTEX_OP_SET, 5, 3, 3},
      {FUTEX_OP_ADD, 5, 3, 8},
      {FUTEX_OP_ADD, 5, 0xfff, 4},  // -1
      {FUTEX_OP_OR, 5, 3, 7},
      {FUTEX_OP_ANDN, 7, 3, 4},
      {FUTEX_OP_XOR, 5, 3, 6},
      {FUTEX_OP_OR | FUTEX_OP_OPARG_SHIFT, 1, 4, 17},
      {FUTEX_OP_OR | FUTEX_OP_OPARG_SHIFT, 1, 31, 0x80000001},
      {FUTEX_OP_OR | FUTEX_OP_OPARG_SHIFT, 0, 0xfff, 0x80000000},
  };
  TestProcess process;
  process.PutValue(uint32_t{0}, kWord);
  for (const auto& row : rows) {
    process.PutValue(row.before, kOther);
    const uint32_t encoded = row.operation << 28 | row.operand << 12;
    EXPECT_EQ(
        process.Value(SYS_futex, kWord, FUTEX_WAKE_OP, 1, 1, kOther, encoded),
        0);
    EXPECT_EQ(process.Get<uint32_t>(kOther), row.after);
  }
  process.PutValue(uint32_t{5}, kOther);
  for (const uint32_t encoded : {uint32_t{5} << 28, uint32_t{6} << 24}) {
    EXPECT_EQ(
        process.Value(SYS_futex, kWord, FUTEX_WAKE_OP, 1, 1, kOther, encoded),
        -ENOSYS);
  }
  EXPECT_EQ(process.Get<uint32_t>(kOther), 5u);
  EXPECT_EQ(process.Value(SYS_futex, kWord, FUTEX_WAKE_OP, 1, 1, kOther + 1, 0),
            -EINVAL);
  EXPECT_EQ(process.Value(SYS_futex, kWord, FUTEX_WAKE_OP, 1, 1,
                          TestProcess::kReadOnly, 0),
            -EFAULT);
}

}  // namespace
}  // namespace libvmm::sandbox
