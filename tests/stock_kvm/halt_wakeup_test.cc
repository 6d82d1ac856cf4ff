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

// Does nothing outside handlers, so that it does not matter whether one comes
// in before HLT or behind it: QEMU's software emulation, where that is the
// processor under KVM, forgets the shadow of STI when the host is interrupted
// there.
LIBVMM_GUEST_CODE(kSleep, 64, R"(
1:
  sti
  hlt
  jmp 1b
)");

// Two of these play ball: RDI is 1 in the one that begins, ESI and R9D are what
// goes into the ICR's halves to reach the other.
LIBVMM_GUEST_CODE(kPlayBall, 64, R"(
  mov $0xfee00000, %ebp
  test %edi, %edi
  jz 1f
  mov %esi, 0x310(%rbp)
  mov %r9d, 0x300(%rbp)
1:
  sti
  hlt
  jmp 1b
)");

// The handler of both: counts in R8, sends the ball back, and reports the
// thousandth, which the one that began keeps.
LIBVMM_GUEST_CODE(kReturnBall, 64, R"(
  inc %r8
  movl $0, 0xb0(%rbp)      # end of interrupt
  mov %r8, %rax
  add %rdi, %rax
  cmp $1001, %rax
  je 1f
  mov %esi, 0x310(%rbp)
  mov %r9d, 0x300(%rbp)
1:
  cmp $1000, %r8
  jne 1f
  out %al, $0xf4
1:
  iretq
)");

class HaltWakeupTest : public ::testing::Test {
 protected:
  void SetUp() override {
    LIBVMM_NEEDS_KVM();
    ASSERT_OK_AND_ASSIGN(
        guest_,
        KernelGuest::Create({.controller = KernelGuest::Controller::kFull}));
    guest_->Put(KernelGuest::kCode, kSleep);
    guest_->OnTrap(kVector, KernelGuest::kEndXapic);
    ASSERT_OK_AND_ASSIGN(vcpu_, guest_->AddVcpu(0));
    ASSERT_OK(guest_->Start(*vcpu_));
    ASSERT_OK(guest_->EnableLocalApic(*vcpu_, ApicMode::kXapic));
  }

  std::unique_ptr<KernelGuest> guest_;
  Vcpu* vcpu_ = nullptr;
};

// Each interrupt is sent as soon as the handler of the one before has counted,
// so when the guest is on its way to HLT.
TEST_F(HaltWakeupTest, NoInterruptIsLostInAThousand) {
  ASSERT_OK_AND_ASSIGN(const Kicker kicker, vcpu_->kicker());
  absl::StatusOr<Exit> exit = absl::UnknownError("not run");
  std::atomic<bool> ended = false;
  std::thread thread([&] {
    exit = guest_->Run(*vcpu_);
    ended = true;
  });
  for (uint64_t round = 1; round <= kRounds && !ended; ++round) {
    const absl::StatusOr<MsiDelivery> sent = guest_->irqchip().SignalMsi(kMsi);
    EXPECT_OK(sent);
    while (guest_->TrapCount(kVector) != round && !ended) {
      std::this_thread::yield();
    }
  }
  kicker.Kick();
  thread.join();
  ASSERT_OK(exit);
  EXPECT_EQ(exit->reason(), ExitReason::kKicked);
  EXPECT_EQ(guest_->TrapCount(kVector), kRounds);
}

TEST_F(HaltWakeupTest, TwoVcpusWakeEachOtherAThousandTimes) {
  guest_->Put(KernelGuest::kCode, kPlayBall);
  guest_->Put(KernelGuest::kCode2, kReturnBall);
  guest_->SetHandler(kVector, KernelGuest::kCode2);
  ASSERT_OK_AND_ASSIGN(Vcpu* const other, guest_->AddVcpu(1));
  ASSERT_OK(guest_->Start(*other));
  ASSERT_OK(guest_->EnableLocalApic(*other, ApicMode::kXapic));
  for (Vcpu* const vcpu : {vcpu_, other}) {
    ASSERT_OK_AND_ASSIGN(kvm_regs* const regs, vcpu->MutableRegisters());
    regs->rdi = vcpu == vcpu_;
    regs->rsi = vcpu == vcpu_ ? 1 << 24 : 0;  // the other's APIC id
    regs->r9 = 0x4000 | kVector;
  }
  absl::StatusOr<uint32_t> other_end;
  std::thread thread([&] { other_end = guest_->RunToPort(*other); });
  const absl::StatusOr<uint32_t> end = guest_->RunToPort(*vcpu_);
  thread.join();
  EXPECT_OK(end);
  EXPECT_OK(other_end);
  for (Vcpu* const vcpu : {vcpu_, other}) {
    ASSERT_OK_AND_ASSIGN(const kvm_regs* const regs, vcpu->Registers());
    EXPECT_EQ(regs->r8, kRounds);
  }
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
  EXPECT_EQ(guest_->TrapCount(kVector), 0u);
}

TEST_F(HaltWakeupTest, InterruptToASleeperWhoseThreadIsElsewhere) {
  ASSERT_OK(guest_->RunUntilHalted(*vcpu_));
  ASSERT_OK(guest_->irqchip().SignalMsi(kMsi));
  // Takes it and halts again.
  ASSERT_OK(guest_->RunUntilHalted(*vcpu_));
  EXPECT_EQ(guest_->TrapCount(kVector), 1u);
}

}  // namespace
}  // namespace libvmm
