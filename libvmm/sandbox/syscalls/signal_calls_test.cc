// SPDX-License-Identifier: Apache-2.0
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>

#include <cerrno>
#include <cstdint>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/base/address.h"
#include "libvmm/sandbox/syscalls/process_state.h"
#include "libvmm/sandbox/syscalls/syscall_outcome.h"
#include "libvmm/sandbox/syscalls/test_process.h"

namespace libvmm::sandbox {
namespace {

using ::libvmm::sandbox::testing::TestProcess;
using Action = ProcessState::SignalAction;

constexpr Gva kOut = TestProcess::kData;
constexpr uint64_t kIgnore = 1;
constexpr uint64_t kHandler = 0x401000;

uint64_t Bit(int signal) { return uint64_t{1} << (signal - 1); }

void SetAction(TestProcess& process, int signal, uint64_t handler) {
  EXPECT_EQ(process.Value(SYS_rt_sigaction, signal,
                          process.PutValue(Action{.handler = handler}), 0, 8),
            0);
}

int64_t SetMask(TestProcess& process, int how, uint64_t mask) {
  return process.Value(SYS_rt_sigprocmask, how, process.PutValue(mask), 0, 8);
}

TEST(SigactionTest, IsRemembered) {
  TestProcess process;
  const Action action = {
      .handler = kHandler, .flags = 4, .restorer = 0x402000, .mask = 0xf0};
  EXPECT_EQ(process.Value(SYS_rt_sigaction, SIGUSR1, process.PutValue(action),
                          kOut, 8),
            0);
  EXPECT_EQ(process.Get<Action>(kOut), Action());
  EXPECT_EQ(process.Value(SYS_rt_sigaction, SIGUSR1, 0, kOut, 8), 0);
  EXPECT_EQ(process.Get<Action>(kOut), action);
  EXPECT_EQ(process.Value(SYS_rt_sigaction, SIGUSR2, 0, kOut, 8), 0);
  EXPECT_EQ(process.Get<Action>(kOut), Action());
}

TEST(SigactionTest, WrongArguments) {
  TestProcess process;
  const Gva action = process.PutValue(Action());
  EXPECT_EQ(process.Value(SYS_rt_sigaction, 0, 0, 0, 8), -EINVAL);
  EXPECT_EQ(process.Value(SYS_rt_sigaction, 65, 0, 0, 8), -EINVAL);
  EXPECT_EQ(process.Value(SYS_rt_sigaction, -1, 0, 0, 8), -EINVAL);
  EXPECT_EQ(process.Value(SYS_rt_sigaction, 64, 0, 0, 8), 0);
  EXPECT_EQ(process.Value(SYS_rt_sigaction, SIGUSR1, 0, 0, 16), -EINVAL);
  EXPECT_EQ(process.Value(SYS_rt_sigaction, SIGKILL, action, 0, 8), -EINVAL);
  EXPECT_EQ(process.Value(SYS_rt_sigaction, SIGSTOP, action, 0, 8), -EINVAL);
  EXPECT_EQ(process.Value(SYS_rt_sigaction, SIGKILL, 0, kOut, 8), 0);
  // A failure to tell the old one leaves it.
  EXPECT_EQ(process.Value(SYS_rt_sigaction, SIGUSR1,
                          process.PutValue(Action{.handler = kIgnore}),
                          TestProcess::kReadOnly, 8),
            -EFAULT);
  EXPECT_EQ(process.process().actions[SIGUSR1 - 1].handler, 0u);
}

TEST(SignalTest, WhatASignalToItselfDoes) {
  const struct {
    int signal;
    uint64_t handler;
    bool ends;
  } rows[] = {
      {SIGABRT, 0, true},
      {SIGABRT, kIgnore, false},
      {SIGABRT, kHandler, true},
      {SIGCHLD, 0, false},
      {SIGURG, 0, false},
      {SIGWINCH, 0, false},
      {SIGCONT, 0, false},
      {SIGCHLD, kHandler, true},
      {SIGTERM, 0, true},
      {SIGTSTP, 0, true},
      {64, 0, true},
      {SIGPIPE, kIgnore, false},
  };
  for (const auto& row : rows) {
    TestProcess process;
    SetAction(process, row.signal, row.handler);
    const SyscallOutcome expected =
        row.ends ? SyscallOutcome(ProgramSignalled{row.signal})
                 : SyscallOutcome(SyscallReturned{0});
    EXPECT_EQ(process.Call(SYS_kill, 1, row.signal), expected) << row.signal;
    EXPECT_EQ(process.Call(SYS_tgkill, 1, 1, row.signal), expected);
    EXPECT_EQ(process.Call(SYS_tkill, 1, row.signal), expected);
    EXPECT_EQ(process.Call(SYS_kill, 0, row.signal), expected);
  }
  TestProcess process;
  EXPECT_EQ(process.Call(SYS_kill, 1, SIGKILL),
            SyscallOutcome(ProgramSignalled{SIGKILL}));
}

TEST(SignalTest, OthersAreNotThere) {
  TestProcess process;
  EXPECT_EQ(process.Value(SYS_kill, 2, SIGTERM), -ESRCH);
  EXPECT_EQ(process.Value(SYS_kill, -1, SIGTERM), -ESRCH);
  EXPECT_EQ(process.Value(SYS_kill, -7, 0), -ESRCH);
  EXPECT_EQ(process.Value(SYS_kill, INT32_MIN, SIGTERM), -ESRCH);
  EXPECT_EQ(process.Value(SYS_kill, 1, 0), 0);
  EXPECT_EQ(process.Value(SYS_kill, 1, 65), -EINVAL);
  EXPECT_EQ(process.Value(SYS_kill, 1, -1), -EINVAL);
  EXPECT_EQ(process.Value(SYS_tgkill, 0, 1, SIGTERM), -EINVAL);
  EXPECT_EQ(process.Value(SYS_tgkill, 1, 0, SIGTERM), -EINVAL);
  EXPECT_EQ(process.Value(SYS_tgkill, 2, 1, SIGTERM), -ESRCH);
  EXPECT_EQ(process.Value(SYS_tgkill, 1, 2, SIGTERM), -ESRCH);
  EXPECT_EQ(process.Value(SYS_tkill, 1, 65), -EINVAL);
  EXPECT_EQ(process.Value(SYS_tkill, 1, 0), 0);
  process.process().pid = 7;
  EXPECT_EQ(process.Value(SYS_kill, -7, 0), 0);
  EXPECT_EQ(process.Value(SYS_kill, 1, 0), -ESRCH);
}

TEST(SignalTest, BlockedSignalWaits) {
  TestProcess process;
  EXPECT_EQ(SetMask(process, SIG_BLOCK, Bit(SIGTERM) | Bit(SIGUSR1)), 0);
  EXPECT_EQ(process.Value(SYS_kill, 1, SIGTERM), 0);
  EXPECT_EQ(process.Value(SYS_kill, 1, SIGUSR1), 0);
  EXPECT_EQ(process.Value(SYS_rt_sigpending, kOut, 8), 0);
  EXPECT_EQ(process.Get<uint64_t>(kOut), Bit(SIGTERM) | Bit(SIGUSR1));
  // The lowest number goes first.
  EXPECT_EQ(process.Call(SYS_rt_sigprocmask, SIG_SETMASK,
                         process.PutValue(uint64_t{0}), 0, 8),
            SyscallOutcome(ProgramSignalled{SIGUSR1}));
}

TEST(SignalTest, IgnoredSignalThatWaitedIsGone) {
  TestProcess process;
  EXPECT_EQ(SetMask(process, SIG_BLOCK, Bit(SIGTERM)), 0);
  EXPECT_EQ(process.Value(SYS_kill, 1, SIGTERM), 0);
  SetAction(process, SIGTERM, kIgnore);
  EXPECT_EQ(SetMask(process, SIG_UNBLOCK, Bit(SIGTERM)), 0);
  EXPECT_EQ(process.process().pending_signals, 0u);
}

TEST(SignalTest, MaskChanges) {
  TestProcess process;
  EXPECT_EQ(SetMask(process, SIG_SETMASK, ~uint64_t{0}), 0);
  // Two of them cannot be blocked.
  const uint64_t all = ~(Bit(SIGKILL) | Bit(SIGSTOP));
  EXPECT_EQ(process.process().blocked_signals, all);
  EXPECT_EQ(SetMask(process, SIG_UNBLOCK, Bit(3)), 0);
  EXPECT_EQ(process.Value(SYS_rt_sigprocmask, 99, 0, kOut, 8), 0);
  EXPECT_EQ(process.Get<uint64_t>(kOut), all & ~Bit(3));
  EXPECT_EQ(SetMask(process, SIG_BLOCK, Bit(3)), 0);
  EXPECT_EQ(process.process().blocked_signals, all);
  EXPECT_EQ(SetMask(process, 3, 0), -EINVAL);
  EXPECT_EQ(process.Value(SYS_rt_sigprocmask, SIG_BLOCK, 0, 0, 4), -EINVAL);
}

TEST(SignalTest, WaitingForASignal) {
  TestProcess process;
  EXPECT_EQ(process.Call(SYS_pause), SyscallOutcome(ProgramDeadlocked{}));
  EXPECT_EQ(process.Call(SYS_rt_sigsuspend, process.PutValue(uint64_t{0}), 8),
            SyscallOutcome(ProgramDeadlocked{}));
  EXPECT_EQ(process.Value(SYS_rt_sigsuspend, kOut, 4), -EINVAL);
  EXPECT_EQ(SetMask(process, SIG_BLOCK, Bit(SIGTERM) | Bit(SIGUSR1)), 0);
  EXPECT_EQ(process.Value(SYS_kill, 1, SIGTERM), 0);
  // One that waits is taken.
  EXPECT_EQ(
      process.Value(SYS_rt_sigtimedwait,
                    process.PutValue(Bit(SIGTERM) | Bit(SIGUSR1)), kOut, 0, 8),
      SIGTERM);
  EXPECT_EQ(process.Get<siginfo_t>(kOut).si_signo, SIGTERM);
  EXPECT_EQ(process.process().pending_signals, 0u);
  // None comes: with a timeout it passes.
  const Gva timeout = process.PutValue(timespec{2, 0}, kOut);
  EXPECT_EQ(process.Value(SYS_rt_sigtimedwait, process.PutValue(Bit(SIGUSR1)),
                          0, timeout, 8),
            -EAGAIN);
  EXPECT_EQ(process.process().skipped_time, absl::Seconds(2));
  EXPECT_EQ(process.Call(SYS_rt_sigtimedwait, process.PutValue(Bit(SIGUSR1)), 0,
                         0, 8),
            SyscallOutcome(ProgramDeadlocked{}));
  EXPECT_EQ(process.Value(SYS_kill, 1, SIGUSR1), 0);
  EXPECT_EQ(process.Call(SYS_rt_sigsuspend, process.PutValue(uint64_t{0}), 8),
            SyscallOutcome(ProgramSignalled{SIGUSR1}));
}

TEST(SignalTest, ReturnWithoutAFrameEndsTheProgram) {
  TestProcess process;
  EXPECT_EQ(process.Call(SYS_rt_sigreturn),
            SyscallOutcome(ProgramSignalled{SIGSEGV}));
}

TEST(SigaltstackTest, IsRemembered) {
  struct Stack {
    uint64_t base;
    int32_t flags;
    int32_t padding;
    uint64_t size;
    bool operator==(const Stack&) const = default;
  };
  TestProcess process;
  EXPECT_EQ(process.Value(SYS_sigaltstack, 0, kOut), 0);
  EXPECT_EQ(process.Get<Stack>(kOut), (Stack{0, SS_DISABLE, 0, 0}));
  const Stack stack = {0x5000, 0, 0, 8192};
  EXPECT_EQ(process.Value(SYS_sigaltstack, process.PutValue(stack), 0), 0);
  EXPECT_EQ(process.Value(SYS_sigaltstack, 0, kOut), 0);
  EXPECT_EQ(process.Get<Stack>(kOut), stack);
  EXPECT_EQ(process.Value(SYS_sigaltstack,
                          process.PutValue(Stack{0x5000, 0, 0, 2047}), 0),
            -ENOMEM);
  EXPECT_EQ(process.Value(SYS_sigaltstack,
                          process.PutValue(Stack{0x5000, 4, 0, 8192}), 0),
            -EINVAL);
  EXPECT_EQ(process.Value(SYS_sigaltstack,
                          process.PutValue(Stack{0x5000, SS_DISABLE, 0, 1}), 0),
            0);
  EXPECT_EQ(process.Value(SYS_sigaltstack, 0, kOut), 0);
  EXPECT_EQ(process.Get<Stack>(kOut), (Stack{0, SS_DISABLE, 0, 0}));
}

}  // namespace
}  // namespace libvmm::sandbox
