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
  }
  for (int slice = 0; slice < 5; ++slice) {
    const auto start = std::chrono::steady_clock::now();
    ASSERT_OK_AND_ASSIGN(
        Deadline deadline,
        thread.StartDeadline({.after = absl::Milliseconds(2)}));
    ASSERT_OK_AND_ASSIGN(Exit exit, thread.Run(guest.vcpu()));
    EXPECT_EQ(exit.reason(), ExitReason::kDeadline);
    EXPECT_TRUE(deadline.expired());
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
  ASSERT_OK_AND_ASSIGN(Exit exit, thread.Run(guest.vcpu()));
  EXPECT_EQ(exit.reason(), ExitReason::kDeadline);
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
  EXPECT_THAT(
      thread.StartDeadline({.after = absl::InfiniteDuration()}),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("infinite")));
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

TEST_F(VcpuThreadTest, ASignalHeldBackBehindItsDeadlineMeansNothing) {
  ASSERT_OK_AND_ASSIGN(RealModeGuest guest, RealModeGuest::Create({
                                                0xe6, 0x60,  // out 0x60, al
                                                0xeb, 0xfc,  // jmp to the start
                                            }));
  ASSERT_OK_AND_ASSIGN(VcpuThread thread, VcpuThread::Attach(kSignal));
  sigset_t set;
  sigset_t old;
  sigemptyset(&set);
  sigaddset(&set, kSignal);
  pthread_sigmask(SIG_BLOCK, &set, &old);
  {
    ASSERT_OK_AND_ASSIGN(Deadline deadline,
                         thread.StartDeadline({.after = absl::Nanoseconds(1)}));
    sigset_t pending;
    do {
      sigpending(&pending);
    } while (sigismember(&pending, kSignal) != 1);
  }
  pthread_sigmask(SIG_SETMASK, &old, nullptr);
  for (int i = 0; i < 3; ++i) {
    ASSERT_OK_AND_ASSIGN(Exit exit, thread.Run(guest.vcpu()));
    EXPECT_NE(exit.reason(), ExitReason::kDeadline);
  }
}

TEST_F(VcpuThreadTest, ATimerSignalInFlightDoesNotOutliveItsThread) {
  for (int i = 0; i < 200; ++i) {
    ASSERT_OK_AND_ASSIGN(VcpuThread thread, VcpuThread::Attach(kSignal));
    ASSERT_OK_AND_ASSIGN(
        Deadline deadline,
        thread.StartDeadline({.after = absl::Nanoseconds(1 + i * 50)}));
  }
}

}  // namespace
}  // namespace libvmm
