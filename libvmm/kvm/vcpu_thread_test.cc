// SPDX-License-Identifier: Apache-2.0
#include "libvmm/kvm/vcpu_thread.h"

#include <pthread.h>
#include <signal.h>
#include <time.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/testing/kvm_available.h"
#include "libvmm/testing/real_mode_guest.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm {
namespace {

using ::libvmm::testing::RealModeGuest;
using ::libvmm::testing::StatusIs;
using ::testing::HasSubstr;

constexpr int kSignal = SIGUSR1;

// jmp to itself.
#define SPIN 0xeb, 0xfe

// inc ax, for ever.
#define COUNT 0x40, 0xeb, 0xfd
// out 0x60, al, for ever.
#define EXITS 0xe6, 0x60, 0xeb, 0xfc

// CPU time of the calling thread.
absl::Duration ThreadTime() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return absl::DurationFromTimespec(now);
}

class VcpuThreadTest : public ::testing::Test {
 protected:
  void SetUp() override {
    LIBVMM_NEEDS_KVM();
    ASSERT_OK(VcpuThread::InstallKickHandler(kSignal));
  }
};

TEST_F(VcpuThreadTest, AttachRefusesASignalWithoutHandler) {
  EXPECT_THAT(VcpuThread::Attach(SIGUSR2),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr("InstallKickHandler")));
  EXPECT_THAT(VcpuThread::Attach(SIGKILL),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(VcpuThread::Attach(12345),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(VcpuThreadTest, AttachRefusesABlockedSignal) {
  sigset_t set;
  sigset_t old;
  sigemptyset(&set);
  sigaddset(&set, kSignal);
  pthread_sigmask(SIG_BLOCK, &set, &old);
  EXPECT_THAT(
      VcpuThread::Attach(kSignal),
      StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("blocked")));
  pthread_sigmask(SIG_SETMASK, &old, nullptr);
}

void OwnHandler(int) {}

TEST_F(VcpuThreadTest, InstallKickHandlerLeavesAProgramsHandlerAlone) {
  struct sigaction own {};
  struct sigaction old {};
  own.sa_handler = &OwnHandler;
  ASSERT_EQ(sigaction(SIGUSR2, &own, &old), 0);
  EXPECT_THAT(VcpuThread::InstallKickHandler(SIGUSR2),
              StatusIs(absl::StatusCode::kAlreadyExists));
  EXPECT_OK(VcpuThread::Attach(SIGUSR2));
  ASSERT_EQ(sigaction(SIGUSR2, &old, nullptr), 0);
  EXPECT_THAT(VcpuThread::InstallKickHandler(SIGKILL),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(VcpuThreadTest, KickGetsASpinningGuestOut) {
  ASSERT_OK_AND_ASSIGN(RealModeGuest guest, RealModeGuest::Create({SPIN}));
  ASSERT_OK_AND_ASSIGN(Kicker kicker, guest.vcpu().kicker());
  ASSERT_OK_AND_ASSIGN(VcpuThread thread, VcpuThread::Attach(kSignal));
  std::thread kicking([&] { kicker.Kick(); });
  absl::StatusOr<Exit> exit = thread.Run(guest.vcpu());
  kicking.join();
  ASSERT_OK(exit);
  EXPECT_EQ(exit->reason(), ExitReason::kKicked);
}

TEST_F(VcpuThreadTest, ASignalWithoutAKickIsInterrupted) {
  ASSERT_OK_AND_ASSIGN(RealModeGuest guest, RealModeGuest::Create({
                                                0xe6,
                                                0x60,  // out 0x60, al
                                                SPIN,
                                            }));
  ASSERT_OK_AND_ASSIGN(VcpuThread thread, VcpuThread::Attach(kSignal));
  ASSERT_OK_AND_ASSIGN(Exit ready, thread.Run(guest.vcpu()));
  ASSERT_EQ(ready.reason(), ExitReason::kPio);
  const pthread_t self = pthread_self();
  // One signal may find the thread outside KVM_RUN; send until it is out.
  std::atomic<bool> out = false;
  std::thread sender([&] {
    while (!out.load()) pthread_kill(self, kSignal);
  });
  absl::StatusOr<Exit> exit = thread.Run(guest.vcpu());
  out.store(true);
  sender.join();
  ASSERT_OK(exit);
  EXPECT_EQ(exit->reason(), ExitReason::kInterrupted);
}

TEST_F(VcpuThreadTest, DeadlineEndsASpinningGuestAndItRunsOn) {
  ASSERT_OK_AND_ASSIGN(RealModeGuest guest, RealModeGuest::Create({
                                                0x40,        // inc ax
                                                0xeb, 0xfd,  // jmp to the start
                                            }));
  ASSERT_OK_AND_ASSIGN(VcpuThread thread, VcpuThread::Attach(kSignal));
  {
    ASSERT_OK_AND_ASSIGN(const Deadline later,
                         thread.StartDeadline({.after = absl::Hours(1)}));
    EXPECT_FALSE(later.expired());
    EXPECT_EQ(later.reached(), DeadlineBound::kNone);
  }
  for (int slice = 0; slice < 5; ++slice) {
    const auto start = std::chrono::steady_clock::now();
    ASSERT_OK_AND_ASSIGN(
        Deadline deadline,
        thread.StartDeadline({.after = absl::Milliseconds(2)}));
    ASSERT_OK_AND_ASSIGN(Exit exit, thread.Run(guest.vcpu()));
    EXPECT_EQ(exit.reason(), ExitReason::kDeadline);
    EXPECT_TRUE(deadline.expired());
    EXPECT_EQ(deadline.reached(), DeadlineBound::kAfter);
    EXPECT_GE(std::chrono::steady_clock::now() - start,
              std::chrono::milliseconds(2));
    // And again, without entering the guest.
    ASSERT_OK_AND_ASSIGN(Exit again, thread.Run(guest.vcpu()));
    EXPECT_EQ(again.reason(), ExitReason::kDeadline);
  }
}

// Its timer fires before StartDeadline returns.
TEST_F(VcpuThreadTest, TheShortestDeadlineIsNotLost) {
  ASSERT_OK_AND_ASSIGN(RealModeGuest guest, RealModeGuest::Create({
                                                0xe6, 0x60,  // out 0x60, al
                                                0xeb, 0xfc,  // jmp to the start
                                            }));
  ASSERT_OK_AND_ASSIGN(VcpuThread thread, VcpuThread::Attach(kSignal));
  for (int round = 0; round < 20; ++round) {
    ASSERT_OK_AND_ASSIGN(Deadline deadline,
                         thread.StartDeadline({.after = absl::Nanoseconds(1)}));
    ExitReason reason{};
    // Not for ever, if it is lost.
    for (int run = 0; run < 10'000 && reason != ExitReason::kDeadline; ++run) {
      ASSERT_OK_AND_ASSIGN(Exit exit, thread.Run(guest.vcpu()));
      reason = exit.reason();
    }
    ASSERT_EQ(reason, ExitReason::kDeadline);
  }
}

TEST_F(VcpuThreadTest, DeadlineCountsExits) {
  ASSERT_OK_AND_ASSIGN(RealModeGuest guest, RealModeGuest::Create({
                                                0xe6, 0x60,  // out 0x60, al
                                                0xeb, 0xfc,  // jmp to the start
                                            }));
  ASSERT_OK_AND_ASSIGN(VcpuThread thread, VcpuThread::Attach(kSignal));
  ASSERT_OK_AND_ASSIGN(Deadline deadline, thread.StartDeadline({.exits = 3}));
  for (int i = 0; i < 3; ++i) {
    ASSERT_OK_AND_ASSIGN(Exit exit, thread.Run(guest.vcpu()));
    EXPECT_EQ(exit.reason(), ExitReason::kPio);
  }
  EXPECT_TRUE(deadline.expired());
  EXPECT_EQ(deadline.reached(), DeadlineBound::kExits);
  ASSERT_OK_AND_ASSIGN(Exit exit, thread.Run(guest.vcpu()));
  EXPECT_EQ(exit.reason(), ExitReason::kDeadline);
}

TEST_F(VcpuThreadTest, CpuTimeEndsASpinningGuestAndItRunsOn) {
  ASSERT_OK_AND_ASSIGN(RealModeGuest guest, RealModeGuest::Create({COUNT}));
  ASSERT_OK_AND_ASSIGN(VcpuThread thread, VcpuThread::Attach(kSignal));
  for (int slice = 0; slice < 5; ++slice) {
    const absl::Duration start = ThreadTime();
    ASSERT_OK_AND_ASSIGN(
        Deadline deadline,
        thread.StartDeadline({.cpu_time = absl::Milliseconds(2)}));
    ASSERT_OK_AND_ASSIGN(Exit exit, thread.Run(guest.vcpu()));
    EXPECT_EQ(exit.reason(), ExitReason::kDeadline);
    EXPECT_TRUE(deadline.expired());
    EXPECT_EQ(deadline.reached(), DeadlineBound::kCpuTime);
    EXPECT_GE(ThreadTime() - start, absl::Milliseconds(2));
    ASSERT_OK_AND_ASSIGN(Exit again, thread.Run(guest.vcpu()));
    EXPECT_EQ(again.reason(), ExitReason::kDeadline);
  }
}

TEST_F(VcpuThreadTest, CpuTimeIsThatOfTheThreadAndNotOfOthersOrOfWaiting) {
  ASSERT_OK_AND_ASSIGN(RealModeGuest guest, RealModeGuest::Create({EXITS}));
  ASSERT_OK_AND_ASSIGN(VcpuThread thread, VcpuThread::Attach(kSignal));
  ASSERT_OK_AND_ASSIGN(
      Deadline deadline,
      thread.StartDeadline({.cpu_time = absl::Milliseconds(100)}));
  // While this thread waits for the other one.
  std::thread([] {
    while (ThreadTime() < absl::Milliseconds(200)) {
    }
  }).join();
  EXPECT_FALSE(deadline.expired());
  ASSERT_OK_AND_ASSIGN(Exit exit, thread.Run(guest.vcpu()));
  EXPECT_EQ(exit.reason(), ExitReason::kPio);
}

TEST_F(VcpuThreadTest, TheShortestCpuTimeIsNotLost) {
  ASSERT_OK_AND_ASSIGN(RealModeGuest guest, RealModeGuest::Create({EXITS}));
  ASSERT_OK_AND_ASSIGN(VcpuThread thread, VcpuThread::Attach(kSignal));
  for (int round = 0; round < 20; ++round) {
    ASSERT_OK_AND_ASSIGN(
        Deadline deadline,
        thread.StartDeadline({.cpu_time = absl::Nanoseconds(1)}));
    ExitReason reason{};
    // Not for ever, if it is lost; the kernel looks at its ticks.
    const absl::Duration start = ThreadTime();
    while (reason != ExitReason::kDeadline &&
           ThreadTime() - start < absl::Seconds(10)) {
      ASSERT_OK_AND_ASSIGN(Exit exit, thread.Run(guest.vcpu()));
      reason = exit.reason();
    }
    ASSERT_EQ(reason, ExitReason::kDeadline);
  }
}

TEST_F(VcpuThreadTest, TheBoundThatComesFirstEndsIt) {
  ASSERT_OK_AND_ASSIGN(RealModeGuest spin, RealModeGuest::Create({COUNT}));
  ASSERT_OK_AND_ASSIGN(RealModeGuest exits, RealModeGuest::Create({EXITS}));
  ASSERT_OK_AND_ASSIGN(VcpuThread thread, VcpuThread::Attach(kSignal));
  const absl::Duration late = absl::Hours(1);
  const absl::Duration soon = absl::Milliseconds(2);
  struct Row {
    DeadlineOptions options;
    DeadlineBound first;
    RealModeGuest& guest;
  };
  const Row rows[] = {
      {{.after = soon, .cpu_time = late, .exits = 9},
       DeadlineBound::kAfter,
       spin},
      {{.after = late, .cpu_time = soon, .exits = 9},
       DeadlineBound::kCpuTime,
       spin},
      {{.after = late, .cpu_time = late, .exits = 9},
       DeadlineBound::kExits,
       exits},
      {{.after = late, .cpu_time = absl::ZeroDuration()},
       DeadlineBound::kCpuTime,
       spin},
      {{.after = absl::Seconds(-1), .cpu_time = late},
       DeadlineBound::kAfter,
       spin},
      {{.after = late, .cpu_time = late, .exits = 0},
       DeadlineBound::kExits,
       spin},
  };
  // Twice, so that each follows another one.
  for (int round = 0; round < 2; ++round) {
    for (const Row& row : rows) {
      SCOPED_TRACE(&row - rows);
      ASSERT_OK_AND_ASSIGN(const Deadline deadline,
                           thread.StartDeadline(row.options));
      ExitReason reason{};
      for (int run = 0; run < 10 && reason != ExitReason::kDeadline; ++run) {
        ASSERT_OK_AND_ASSIGN(Exit exit, thread.Run(row.guest.vcpu()));
        reason = exit.reason();
      }
      EXPECT_EQ(reason, ExitReason::kDeadline);
      EXPECT_EQ(deadline.reached(), row.first);
    }
  }
}

TEST_F(VcpuThreadTest, ADeadlineInThePastNeverEnters) {
  ASSERT_OK_AND_ASSIGN(RealModeGuest guest, RealModeGuest::Create({
                                                0xe6, 0x60,  // out 0x60, al
                                            }));
  ASSERT_OK_AND_ASSIGN(VcpuThread thread, VcpuThread::Attach(kSignal));
  {
    ASSERT_OK_AND_ASSIGN(Deadline deadline,
                         thread.StartDeadline({.after = absl::Seconds(-1)}));
    ASSERT_OK_AND_ASSIGN(Exit exit, thread.Run(guest.vcpu()));
    EXPECT_EQ(exit.reason(), ExitReason::kDeadline);
  }
  ASSERT_OK_AND_ASSIGN(Exit exit, thread.Run(guest.vcpu()));
  EXPECT_EQ(exit.reason(), ExitReason::kPio);
}

TEST_F(VcpuThreadTest, AKickUnderADeadlineIsReportedFirst) {
  ASSERT_OK_AND_ASSIGN(RealModeGuest guest, RealModeGuest::Create({SPIN}));
  ASSERT_OK_AND_ASSIGN(Kicker kicker, guest.vcpu().kicker());
  ASSERT_OK_AND_ASSIGN(VcpuThread thread, VcpuThread::Attach(kSignal));
  ASSERT_OK_AND_ASSIGN(Deadline deadline,
                       thread.StartDeadline({.after = absl::Minutes(10)}));
  kicker.Kick();
  ASSERT_OK_AND_ASSIGN(Exit exit, thread.Run(guest.vcpu()));
  EXPECT_EQ(exit.reason(), ExitReason::kKicked);
  EXPECT_FALSE(deadline.expired());
}

TEST_F(VcpuThreadTest, StartDeadlineRefusesBadBounds) {
  ASSERT_OK_AND_ASSIGN(VcpuThread thread, VcpuThread::Attach(kSignal));
  EXPECT_THAT(thread.StartDeadline({}),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(thread.StartDeadline({.after = absl::InfiniteDuration()}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("after is infinite")));
  EXPECT_THAT(thread.StartDeadline({.after = absl::Seconds(1),
                                    .cpu_time = absl::InfiniteDuration()}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("cpu_time is infinite")));
  ASSERT_OK_AND_ASSIGN(Deadline first, thread.StartDeadline({.exits = 1}));
  EXPECT_THAT(thread.StartDeadline({.exits = 1}),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  // A moved deadline is the same one, and its end makes room for the next.
  {
    Deadline moved = std::move(first);
    EXPECT_FALSE(moved.expired());
  }
  EXPECT_OK(thread.StartDeadline({.exits = 1}));
}

TEST_F(VcpuThreadTest, OneThreadRunsTwoVmsInTurn) {
  ASSERT_OK_AND_ASSIGN(RealModeGuest one, RealModeGuest::Create({SPIN}));
  ASSERT_OK_AND_ASSIGN(RealModeGuest two, RealModeGuest::Create({SPIN}));
  ASSERT_OK_AND_ASSIGN(VcpuThread thread, VcpuThread::Attach(kSignal));
  for (int slice = 0; slice < 10; ++slice) {
    ASSERT_OK_AND_ASSIGN(
        Deadline deadline,
        thread.StartDeadline({.after = absl::Milliseconds(1)}));
    ASSERT_OK_AND_ASSIGN(Exit exit,
                         thread.Run(slice % 2 == 0 ? one.vcpu() : two.vcpu()));
    EXPECT_EQ(exit.reason(), ExitReason::kDeadline);
  }
}

TEST_F(VcpuThreadTest, AVcpuWandersBetweenThreads) {
  ASSERT_OK_AND_ASSIGN(RealModeGuest guest, RealModeGuest::Create({SPIN}));
  ASSERT_OK_AND_ASSIGN(Kicker kicker, guest.vcpu().kicker());
  for (int i = 0; i < 20; ++i) {
    std::thread runner([&] {
      ASSERT_OK_AND_ASSIGN(VcpuThread thread, VcpuThread::Attach(kSignal));
      ASSERT_OK_AND_ASSIGN(Exit exit, thread.Run(guest.vcpu()));
      EXPECT_EQ(exit.reason(), ExitReason::kKicked);
    });
    kicker.Kick();
    runner.join();
  }
}

// Returns once the signal, which must be blocked, is pending; uses CPU time
// meanwhile.
void AwaitPendingSignal() {
  sigset_t pending;
  do {
    sigpending(&pending);
  } while (sigismember(&pending, kSignal) != 1);
}

TEST_F(VcpuThreadTest, ASignalHeldBackBehindItsDeadlineMeansNothing) {
  ASSERT_OK_AND_ASSIGN(RealModeGuest guest, RealModeGuest::Create({EXITS}));
  const DeadlineOptions times[] = {
      {.after = absl::Nanoseconds(1)},
      {.cpu_time = absl::Nanoseconds(1)},
      {.after = absl::Nanoseconds(1), .cpu_time = absl::Nanoseconds(1)},
  };
  for (const DeadlineOptions& options : times) {
    SCOPED_TRACE(&options - times);
    ASSERT_OK_AND_ASSIGN(VcpuThread thread, VcpuThread::Attach(kSignal));
    sigset_t set;
    sigset_t old;
    sigemptyset(&set);
    sigaddset(&set, kSignal);
    pthread_sigmask(SIG_BLOCK, &set, &old);
    {
      ASSERT_OK_AND_ASSIGN(Deadline deadline, thread.StartDeadline(options));
      AwaitPendingSignal();
    }
    pthread_sigmask(SIG_SETMASK, &old, nullptr);
    for (int i = 0; i < 3; ++i) {
      ASSERT_OK_AND_ASSIGN(Exit exit, thread.Run(guest.vcpu()));
      EXPECT_NE(exit.reason(), ExitReason::kDeadline);
    }
  }
}

// The timers are told apart: one that is not armed does not speak for the
// other.
TEST_F(VcpuThreadTest, AHeldBackSignalOfOneClockDoesNotEndADeadlineOfTheOther) {
  ASSERT_OK_AND_ASSIGN(RealModeGuest guest, RealModeGuest::Create({EXITS}));
  const DeadlineOptions kShort[] = {{.after = absl::Nanoseconds(1)},
                                    {.cpu_time = absl::Nanoseconds(1)}};
  const DeadlineOptions kLong[] = {{.cpu_time = absl::Hours(1)},
                                   {.after = absl::Hours(1)}};
  for (int clock = 0; clock < 2; ++clock) {
    SCOPED_TRACE(clock);
    ASSERT_OK_AND_ASSIGN(VcpuThread thread, VcpuThread::Attach(kSignal));
    sigset_t set;
    sigset_t old;
    sigemptyset(&set);
    sigaddset(&set, kSignal);
    pthread_sigmask(SIG_BLOCK, &set, &old);
    {
      ASSERT_OK_AND_ASSIGN(Deadline deadline,
                           thread.StartDeadline(kShort[clock]));
      AwaitPendingSignal();
    }
    ASSERT_OK_AND_ASSIGN(Deadline deadline, thread.StartDeadline(kLong[clock]));
    pthread_sigmask(SIG_SETMASK, &old, nullptr);
    EXPECT_FALSE(deadline.expired());
    ASSERT_OK_AND_ASSIGN(Exit exit, thread.Run(guest.vcpu()));
    EXPECT_NE(exit.reason(), ExitReason::kDeadline);
  }
}

// What the handler of a program that forwards its signals later has kept.
volatile sig_atomic_t kept_signals = 0;
siginfo_t kept_signal;
void KeepingHandler(int, siginfo_t* info, void*) {
  kept_signal = *info;
  kept_signals = kept_signals + 1;
}

// Old kernels deliver a signal of a timer that was stopped meanwhile.
TEST_F(VcpuThreadTest, ASignalHandledBehindItsDeadlineMeansNothing) {
  ASSERT_OK_AND_ASSIGN(RealModeGuest guest, RealModeGuest::Create({EXITS}));
  struct sigaction keeping {};
  struct sigaction old {};
  keeping.sa_sigaction = &KeepingHandler;
  keeping.sa_flags = SA_SIGINFO;
  ASSERT_EQ(sigaction(SIGUSR2, &keeping, &old), 0);
  const DeadlineOptions kShort[] = {{.after = absl::Nanoseconds(1)},
                                    {.cpu_time = absl::Nanoseconds(1)}};
  const DeadlineOptions kLong[] = {{.cpu_time = absl::Hours(1)},
                                   {.after = absl::Hours(1)}};
  for (int clock = 0; clock < 2; ++clock) {
    SCOPED_TRACE(clock);
    ASSERT_OK_AND_ASSIGN(VcpuThread thread, VcpuThread::Attach(SIGUSR2));
    kept_signals = 0;
    {
      ASSERT_OK_AND_ASSIGN(Deadline deadline,
                           thread.StartDeadline(kShort[clock]));
      // ThreadSanitizer lets handlers run within calls of the C library only.
      timespec now;
      while (kept_signals == 0) clock_gettime(CLOCK_MONOTONIC, &now);
      // In time it does mean something.
      EXPECT_FALSE(deadline.expired());
      VcpuThread::HandleSignal(kept_signal);
      EXPECT_TRUE(deadline.expired());
    }
    VcpuThread::HandleSignal(kept_signal);
    ASSERT_OK_AND_ASSIGN(const Exit exit, thread.Run(guest.vcpu()));
    EXPECT_EQ(exit.reason(), ExitReason::kPio);
    // Nor to a deadline by the other clock.
    ASSERT_OK_AND_ASSIGN(const Deadline other,
                         thread.StartDeadline(kLong[clock]));
    VcpuThread::HandleSignal(kept_signal);
    EXPECT_FALSE(other.expired());
  }
  ASSERT_EQ(sigaction(SIGUSR2, &old, nullptr), 0);
}

TEST_F(VcpuThreadTest, ATimerSignalInFlightDoesNotOutliveItsThread) {
  for (int i = 0; i < 200; ++i) {
    ASSERT_OK_AND_ASSIGN(VcpuThread thread, VcpuThread::Attach(kSignal));
    ASSERT_OK_AND_ASSIGN(
        Deadline deadline,
        thread.StartDeadline({.after = absl::Nanoseconds(1 + i * 50),
                              .cpu_time = absl::Nanoseconds(1 + i * 50)}));
  }
}

}  // namespace
}  // namespace libvmm
