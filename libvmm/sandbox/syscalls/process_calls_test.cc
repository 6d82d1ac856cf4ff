// SPDX-License-Identifier: Apache-2.0
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <cerrno>
#include <cstdint>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/base/address.h"
#include "libvmm/sandbox/syscalls/syscall_outcome.h"
#include "libvmm/sandbox/syscalls/test_process.h"

namespace libvmm::sandbox {
namespace {

using ::libvmm::sandbox::testing::TestProcess;

constexpr Gva kOut = TestProcess::kData;
constexpr int64_t kUser = 1000;
constexpr int64_t kGroup = 1001;

TEST(ExitTest, CodeIsEightBits) {
  TestProcess process;
  EXPECT_EQ(process.Call(SYS_exit_group, 0), SyscallOutcome(ProgramExited{0}));
  EXPECT_EQ(process.Call(SYS_exit, 0x1234),
            SyscallOutcome(ProgramExited{0x34}));
  EXPECT_EQ(process.Call(SYS_exit_group, -1),
            SyscallOutcome(ProgramExited{255}));
}

TEST(IdentityTest, IsTheProcessStates) {
  TestProcess process;
  process.process().pid = 42;
  process.process().parent_pid = 7;
  process.process().user = kUser;
  process.process().group = kGroup;
  const struct {
    int64_t number;
    int64_t first;
    int64_t second;
    int64_t result;
  } rows[] = {
      {SYS_getpid, 0, 0, 42},
      {SYS_gettid, 0, 0, 42},
      {SYS_getppid, 0, 0, 7},
      {SYS_getpgrp, 0, 0, 42},
      {SYS_getpgid, 0, 0, 42},
      {SYS_getpgid, 42, 0, 42},
      {SYS_getpgid, 7, 0, -ESRCH},
      {SYS_getsid, 0, 0, 42},
      {SYS_getsid, 1, 0, -ESRCH},
      {SYS_setsid, 0, 0, -EPERM},
      {SYS_setpgid, 0, 0, -EPERM},
      {SYS_setpgid, 0, -1, -EINVAL},
      {SYS_setpgid, 5, 0, -ESRCH},
      {SYS_getuid, 0, 0, kUser},
      {SYS_geteuid, 0, 0, kUser},
      {SYS_getgid, 0, 0, kGroup},
      {SYS_getegid, 0, 0, kGroup},
      {SYS_setuid, kUser, 0, 0},
      {SYS_setuid, 0, 0, -EPERM},
      {SYS_setuid, -1, 0, -EINVAL},
      {SYS_setgid, kGroup, 0, 0},
      {SYS_setgid, kUser, 0, -EPERM},
      {SYS_setreuid, kUser, -1, 0},
      {SYS_setreuid, -1, 0, -EPERM},
      {SYS_setregid, -1, kGroup, 0},
      {SYS_setresuid, kUser, kUser, -EPERM},  // The third is 0.
      {SYS_setresgid, -1, -1, -EPERM},
      {SYS_setfsuid, 0, 0, kUser},
      {SYS_setfsgid, 0, 0, kGroup},
      {SYS_getgroups, 0, 0, 0},
      {SYS_getgroups, -1, 0, -EINVAL},
      {SYS_setgroups, 0, 0, 0},
      {SYS_setgroups, 1, 0, -EPERM},
  };
  for (const auto& row : rows) {
    EXPECT_EQ(process.Value(row.number, row.first, row.second), row.result)
        << row.number << " of " << row.first << ", " << row.second;
  }
  EXPECT_EQ(process.Value(SYS_getresuid, kOut, kOut + 4, kOut + 8), 0);
  for (const uint64_t offset : {0, 4, 8}) {
    EXPECT_EQ(process.Get<uint32_t>(kOut + offset), kUser);
  }
  EXPECT_EQ(process.Value(SYS_getresgid, kOut, kOut + 4, kOut + 8), 0);
  EXPECT_EQ(process.Get<uint32_t>(kOut + 8), kGroup);
}

TEST(ProcessTest, ThereIsNoOther) {
  TestProcess process;
  for (const int64_t number :
       {SYS_fork, SYS_vfork, SYS_clone, SYS_clone3, SYS_execve, SYS_execveat}) {
    EXPECT_EQ(process.Value(number), -ENOSYS) << number;
  }
  EXPECT_EQ(process.Value(SYS_wait4, -1), -ECHILD);
  EXPECT_EQ(process.Value(SYS_waitid, 0, 0), -ECHILD);
}

TEST(PrctlTest, Name) {
  TestProcess process;
  EXPECT_EQ(process.Value(SYS_prctl, PR_SET_NAME,
                          process.Put("a name of more than 15 bytes")),
            0);
  EXPECT_EQ(process.Value(SYS_prctl, PR_GET_NAME, kOut), 0);
  EXPECT_EQ(process.Text(kOut, 16), std::string("a name of more \0", 16));
  EXPECT_EQ(process.Value(SYS_prctl, PR_SET_NAME, process.Put("b")), 0);
  EXPECT_EQ(process.Value(SYS_prctl, PR_GET_NAME, kOut), 0);
  EXPECT_EQ(process.Text(kOut, 16), "b" + std::string(15, '\0'));
  // A short name may stand at the end of what is mapped.
  const Gva last = TestProcess::kHole - 2;
  EXPECT_EQ(process.Value(SYS_prctl, PR_SET_NAME, last), 0);
  EXPECT_EQ(process.Value(SYS_prctl, PR_SET_NAME, TestProcess::kHole), -EFAULT);
}

TEST(PrctlTest, OtherOptions) {
  TestProcess process;
  EXPECT_EQ(process.Value(SYS_prctl, PR_GET_DUMPABLE), 1);
  EXPECT_EQ(process.Value(SYS_prctl, PR_SET_DUMPABLE, 0), 0);
  EXPECT_EQ(process.Value(SYS_prctl, PR_SET_DUMPABLE, 2), -EINVAL);
  EXPECT_EQ(process.Value(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
  EXPECT_EQ(process.Value(SYS_prctl, PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0), -EINVAL);
  EXPECT_EQ(process.Value(SYS_prctl, PR_GET_NO_NEW_PRIVS), 1);
  EXPECT_EQ(process.Value(SYS_prctl, PR_SET_PDEATHSIG, 9), 0);
  EXPECT_EQ(process.Value(SYS_prctl, PR_SET_PDEATHSIG, 65), -EINVAL);
  EXPECT_EQ(process.Value(SYS_prctl, PR_SET_SECCOMP, 1), -EINVAL);
  EXPECT_EQ(process.Value(SYS_prctl, -1), -EINVAL);
}

TEST(PersonalityTest, IsRemembered) {
  TestProcess process;
  EXPECT_EQ(process.Value(SYS_personality, 0xffffffff), 0);
  EXPECT_EQ(process.Value(SYS_personality, 0x40000), 0);
  EXPECT_EQ(process.Value(SYS_personality, 0xffffffff), 0x40000);
}

}  // namespace
}  // namespace libvmm::sandbox
