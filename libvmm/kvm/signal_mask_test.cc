// SPDX-License-Identifier: Apache-2.0
#include "libvmm/kvm/signal_mask.h"

#include <csignal>
#include <ctime>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/testing/kvm_available.h"
#include "libvmm/testing/real_mode_guest.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm {
namespace {

using ::libvmm::testing::RealModeGuest;

TEST(RunSignalMaskTest, SignalBlockedOutsideEndsRunInside) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(RealModeGuest guest, RealModeGuest::Create({0xf4}));
  sigset_t usr1;
  sigemptyset(&usr1);
  sigaddset(&usr1, SIGUSR1);
  sigset_t before;
  ASSERT_EQ(pthread_sigmask(SIG_BLOCK, &usr1, &before), 0);
  ASSERT_EQ(raise(SIGUSR1), 0);  // pending from here on

  sigset_t none;
  sigemptyset(&none);
  ASSERT_OK(SetRunSignalMask(guest.vcpu(), none));
  ASSERT_OK_AND_ASSIGN(Exit interrupted, guest.vcpu().Run());
  EXPECT_EQ(interrupted.reason(), ExitReason::kInterrupted);

  // Blocked inside too, it ends nothing.
  ASSERT_OK(SetRunSignalMask(guest.vcpu(), usr1));
  ASSERT_OK_AND_ASSIGN(Exit blocked, guest.vcpu().Run());
  EXPECT_EQ(blocked.reason(), ExitReason::kHalt);

  // With no mask of its own, Run keeps the thread's, which blocks it.
  ASSERT_OK(SetRunSignalMask(guest.vcpu(), none));
  ASSERT_OK(ClearRunSignalMask(guest.vcpu()));
  ASSERT_OK_AND_ASSIGN(kvm_regs * regs, guest.vcpu().MutableRegisters());
  regs->rip = RealModeGuest::kEntry;
  ASSERT_OK_AND_ASSIGN(Exit cleared, guest.vcpu().Run());
  EXPECT_EQ(cleared.reason(), ExitReason::kHalt);

  const timespec no_time = {};
  EXPECT_EQ(sigtimedwait(&usr1, nullptr, &no_time), SIGUSR1);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

}  // namespace
}  // namespace libvmm
