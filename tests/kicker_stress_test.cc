// SPDX-License-Identifier: Apache-2.0
// 100,000 kicks at random moments against running vCPUs, half of them in guest
// code all the time and half mostly on the way in and out: every one must be
// reported by a Run of its own. A kick that is lost leaves the vCPU in its
// endless loop, and the test at its time limit.
#include <signal.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <random>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "libvmm/kvm/vcpu_thread.h"
#include "libvmm/testing/kvm_available.h"
#include "libvmm/testing/real_mode_guest.h"
#include "libvmm/testing/status_matchers.h"
#include "libvmm/testing/stock_kvm.h"

namespace libvmm {
namespace {

using Clock = std::chrono::steady_clock;
using ::libvmm::testing::RealModeGuest;

// For each of the two guests. ThreadSanitizer does not slow it down.
const int kKicks = testing::StockKvmRequired() ? 5'000 : 50'000;

// Kicks the vCPU while it runs `code` for ever, one kick after the other has
// been answered, each after a random pause that the answering thread spends in
// and around KVM_RUN.
void KickAtRandomMoments(std::initializer_list<uint8_t> code) {
  ASSERT_OK_AND_ASSIGN(RealModeGuest guest, RealModeGuest::Create(code));
  ASSERT_OK(VcpuThread::InstallKickHandler(SIGUSR1));
  ASSERT_OK_AND_ASSIGN(Kicker kicker, guest.vcpu().kicker());

  std::atomic<int> answered = 0;
  std::atomic<bool> failed = false;
  std::vector<double> microseconds;
  microseconds.reserve(kKicks);

  std::thread kicking([&] {
    std::mt19937 random(7);
    for (int kick = 0; kick < kKicks && !failed.load(); ++kick) {
      for (uint32_t pause = random() % 20'000; pause > 0; --pause) {
        std::atomic_signal_fence(std::memory_order_seq_cst);
      }
      const auto start = Clock::now();
      kicker.Kick();
      while (answered.load() == kick && !failed.load())
        std::this_thread::yield();
      microseconds.push_back(
          std::chrono::duration<double, std::micro>(Clock::now() - start)
              .count());
    }
  });

  uint64_t exits = 0;
  {
    absl::StatusOr<VcpuThread> thread = VcpuThread::Attach(SIGUSR1);
    while (thread.ok() && answered.load() < kKicks) {
      absl::StatusOr<Exit> exit = thread->Run(guest.vcpu());
      if (!exit.ok()) {
        ADD_FAILURE() << exit.status().ToString();
        break;
      }
      ++exits;
      if (exit->reason() == ExitReason::kKicked) ++answered;
    }
    EXPECT_OK(thread);
  }
  failed.store(answered.load() < kKicks);
  kicking.join();
  ASSERT_EQ(microseconds.size(), static_cast<size_t>(kKicks));
  std::sort(microseconds.begin(), microseconds.end());
  std::printf(
      "%d kicks, none lost, %lu returns of Run; answered in us: median %.0f, "
      "p99 %.0f, max %.0f\n",
      kKicks, static_cast<unsigned long>(exits), microseconds[kKicks / 2],
      microseconds[kKicks - kKicks / 100], microseconds.back());
}

TEST(KickerStressTest, ASpinningGuestAnswersEveryKick) {
  LIBVMM_NEEDS_KVM();
  KickAtRandomMoments({0xeb, 0xfe});  // jmp to itself
}

TEST(KickerStressTest, AGuestThatExitsAllTheTimeAnswersEveryKick) {
  LIBVMM_NEEDS_KVM();
  KickAtRandomMoments({0xe6, 0x60, 0xeb, 0xfc});  // out 0x60, al; jmp to it
}

}  // namespace
}  // namespace libvmm
