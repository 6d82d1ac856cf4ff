// SPDX-License-Identifier: Apache-2.0
// What ends HLT with an in-kernel local APIC: an interrupt, an inter-processor
// interrupt, and for the host a kick; and that none is lost on the way into
// HLT.
#include <atomic>
#include <chrono>
#include <memory>
#include <thread>

#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/irqchip.h"
#include "libvmm/kvm/kicker.h"
#include "libvmm/kvm/vcpu_state.h"
#include "libvmm/testing/guest_code.h"
#include "libvmm/testing/kernel_guest.h"
#include "libvmm/testing/kvm_available.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm {
namespace {

using ::libvmm::testing::KernelGuest;
using ApicMode = KernelGuest::ApicMode;

constexpr uint8_t kVector = 0x61;
constexpr Msi kMsi = {.address = 0xfee00000, .data = kVector};
constexpr uint64_t kRounds = 1000;  // as in the guests

// Halts until the handler has run another time, says at DATA how often that
// was, and reports after 1000 times.
LIBVMM_GUEST_CODE(kCountWakeups, 64, R"(
  xor %ebx, %ebx
1:
  cli
  cmp %rbx, COUNTERS + 0x61 * 8
  jne 2f
  sti
  hlt
  jmp 1b
2:
  inc %rbx
  mov %rbx, DATA
  cmp $1000, %rbx
  jne 1b
  out %al, $0xf4
  jmp 1b
)");

// Two of these, one with EDI 1 and the other's id in ESI (ICR high half), play
// ball: wait for vector R8's handler, send R9 to the other. The one with EDI 1
// begins. Counts are R10 and R11, addresses of the handlers' counters.
LIBVMM_GUEST_CODE(kPlayBall, 64, R"(
  mov $0xfee00000, %ebp
  xor %ebx, %ebx
  test %edi, %edi
  jz 1f
3:
  mov %esi, 0x310(%rbp)
  mov %r9d, 0x300(%rbp)
1:
  cli
  cmp %rbx, (%r10)
  jne 2f
  sti
  hlt
  jmp 1b
2:
  inc %rbx
  cmp $1000, %rbx
  jne 3b
  test %edi, %edi
  jnz 4f
  mov %esi, 0x310(%rbp)    # the last answer
  mov %r9d, 0x300(%rbp)
4:
  out %al, $0xf4
)");

class HaltWakeupTest : public ::testing::Test {
 protected:
  void SetUp() override {
    LIBVMM_NEEDS_KVM();
    ASSERT_OK_AND_ASSIGN(
        guest_,
        KernelGuest::Create({.controller = KernelGuest::Controller::kFull}));
    guest_->Put(KernelGuest::kCode, kCountWakeups);
    guest_->OnTrap(kVector, KernelGuest::kEndXapic);
    ASSERT_OK_AND_ASSIGN(vcpu_, guest_->AddVcpu(0));
    ASSERT_OK(guest_->Start(*vcpu_));
    ASSERT_OK(guest_->EnableLocalApic(*vcpu_, ApicMode::kXapic));
  }

  std::unique_ptr<KernelGuest> guest_;
  Vcpu* vcpu_ = nullptr;
};

// Each interrupt is sent as soon as the guest is past the one before, so when
// it is on its way to HLT.
TEST_F(HaltWakeupTest, NoInterruptIsLostInAThousand) {
  absl::StatusOr<uint32_t> end;
  std::atomic<bool> ended = false;
  std::thread thread([&] {
    end = guest_->RunToPort(*vcpu_);
    ended = true;
  });
  for (uint64_t round = 1; round <= kRounds && !ended; ++round) {
    const absl::StatusOr<MsiDelivery> sent = guest_->irqchip().SignalMsi(kMsi);
    EXPECT_OK(sent);
    while (guest_->Word(KernelGuest::kData) != round && !ended) {
      std::this_thread::yield();
    }
  }
  thread.join();
  ASSERT_OK(end);
  EXPECT_EQ(guest_->TrapCount(kVector), kRounds);
}

TEST_F(HaltWakeupTest, TwoVcpusWakeEachOtherAThousandTimes) {
  guest_->Put(KernelGuest::kCode, kPlayBall);
  ASSERT_OK_AND_ASSIGN(Vcpu* const other, guest_->AddVcpu(1));
  ASSERT_OK(guest_->Start(*other));
  ASSERT_OK(guest_->EnableLocalApic(*other, ApicMode::kXapic));
  // Vector 0x62 is for vCPU 0, 0x63 for vCPU 1. The counters stand at 0x30000.
  guest_->OnTrap(0x62, KernelGuest::kEndXapic);
  guest_->OnTrap(0x63, KernelGuest::kEndXapic);
  for (Vcpu* const vcpu : {vcpu_, other}) {
    ASSERT_OK_AND_ASSIGN(kvm_regs* const regs, vcpu->MutableRegisters());
    const bool first = vcpu == vcpu_;
    regs->rdi = first;
    regs->rsi = first ? 1 << 24 : 0;
    regs->r9 = 0x4000 | (first ? 0x63 : 0x62);
    regs->r10 = 0x30000 + 8 * (first ? 0x62 : 0x63);
  }
  absl::StatusOr<uint32_t> other_end;
  std::thread thread([&] { other_end = guest_->RunToPort(*other); });
  const absl::StatusOr<uint32_t> end = guest_->RunToPort(*vcpu_);
  thread.join();
  EXPECT_OK(end);
  EXPECT_OK(other_end);
  EXPECT_EQ(guest_->TrapCount(0x62), kRounds);
  EXPECT_EQ(guest_->TrapCount(0x63), kRounds);
}

TEST_F(HaltWakeupTest, AKickEndsTheSleepOfTheHostAlone) {
  ASSERT_OK(guest_->RunUntilHalted(*vcpu_));
  ASSERT_OK_AND_ASSIGN(const Kicker kicker, vcpu_->kicker());
  for (int round = 0; round < 100; ++round) {
    std::thread thread([&] { kicker.Kick(); });
    const absl::StatusOr<Exit> exit = guest_->Run(*vcpu_);
    thread.join();
    ASSERT_OK(exit);
    ASSERT_EQ(exit->reason(), ExitReason::kKicked);
    ASSERT_OK_AND_ASSIGN(const kvm_mp_state state,
                         GetVcpuState<kvm_mp_state>(*vcpu_));
    EXPECT_EQ(state.mp_state, static_cast<uint32_t>(KVM_MP_STATE_HALTED));
  }
  EXPECT_EQ(guest_->Word(KernelGuest::kData), 0u);
}

TEST_F(HaltWakeupTest, InterruptToASleeperWhoseThreadIsElsewhere) {
  ASSERT_OK(guest_->RunUntilHalted(*vcpu_));
  ASSERT_OK(guest_->irqchip().SignalMsi(kMsi));
  // Takes it and halts again.
  ASSERT_OK(guest_->RunUntilHalted(*vcpu_));
  EXPECT_EQ(guest_->TrapCount(kVector), 1u);
  EXPECT_EQ(guest_->Word(KernelGuest::kData), 1u);
}

}  // namespace
}  // namespace libvmm
