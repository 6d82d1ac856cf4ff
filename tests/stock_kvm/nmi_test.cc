// SPDX-License-Identifier: Apache-2.0
// Non-maskable interrupts: KVM_NMI, and the local APIC's inter-processor form
// (Intel SDM volume 3, chapters 6.7 and 11.6.1).
#include <memory>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/inject.h"
#include "libvmm/testing/guest_code.h"
#include "libvmm/testing/kernel_guest.h"
#include "libvmm/testing/kvm_available.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm {
namespace {

using ::libvmm::testing::GuestCode;
using ::libvmm::testing::KernelGuest;
using Trap = KernelGuest::Trap;

constexpr uint8_t kNmi = 2;

// With interrupts off, which an NMI does not heed.
LIBVMM_GUEST_CODE(kSpinWithInterruptsOff, 64, R"(
1:
  cmpq $0, DATA
  je 1b
  out %al, $0xf4
)");

LIBVMM_GUEST_CODE(kHaltWithInterruptsOff, 64, R"(
  hlt
  out %al, $0xf4
)");

// ICR: NMI to the APIC whose id is 1.
LIBVMM_GUEST_CODE(kSendNmi, 64, R"(
  mov $0xfee00000, %ebp
  movl $0x01000000, 0x310(%rbp)
  movl $0x4400, 0x300(%rbp)
  out %al, $0xf4
)");

class NmiTest : public ::testing::TestWithParam<Privilege> {
 protected:
  void Start(GuestCode code, Privilege privilege) {
    LIBVMM_NEEDS_KVM();
    ASSERT_OK_AND_ASSIGN(
        guest_,
        KernelGuest::Create({.controller = KernelGuest::Controller::kFull}));
    guest_->Put(KernelGuest::kCode, code);
    ASSERT_OK_AND_ASSIGN(vcpu_, guest_->AddVcpu(0));
    ASSERT_OK(guest_->Start(*vcpu_, {.privilege = privilege}));
  }

  std::unique_ptr<KernelGuest> guest_;
  Vcpu* vcpu_ = nullptr;
};

INSTANTIATE_TEST_SUITE_P(Both, NmiTest,
                         ::testing::Values(Privilege::kKernel,
                                           Privilege::kUser),
                         [](const auto& row) -> std::string {
                           return row.param == Privilege::kKernel ? "Kernel"
                                                                  : "User";
                         });

TEST_P(NmiTest, ComesInWithInterruptsOffAndReturns) {
  Start(kSpinWithInterruptsOff, GetParam());
  if (IsSkipped() || HasFatalFailure()) return;
  ASSERT_OK(QueueNmi(*vcpu_));
  ASSERT_OK_AND_ASSIGN(const Trap trap, guest_->RunToTrap(*vcpu_));
  EXPECT_EQ(trap.vector, kNmi);
  EXPECT_EQ(trap.cs & 3, GetParam() == Privilege::kUser ? 3u : 0u);
  EXPECT_GE(trap.rip, KernelGuest::kCode);
  EXPECT_LT(trap.rip, KernelGuest::kCode + kSpinWithInterruptsOff.size());
  guest_->SetWord(KernelGuest::kData, 1);
  ASSERT_OK(guest_->RunToPort(*vcpu_));
  EXPECT_EQ(guest_->TrapCount(kNmi), 1u);
}

// The second waits for the first one's IRET.
TEST_P(NmiTest, IsBlockedWhileOneIsHandled) {
  Start(kSpinWithInterruptsOff, GetParam());
  if (IsSkipped() || HasFatalFailure()) return;
  ASSERT_OK(QueueNmi(*vcpu_));
  ASSERT_OK_AND_ASSIGN(const Trap first, guest_->RunToTrap(*vcpu_));
  ASSERT_OK_AND_ASSIGN(const kvm_vcpu_events* const events, vcpu_->Events());
  EXPECT_EQ(events->nmi.masked, 1);
  ASSERT_OK(QueueNmi(*vcpu_));
  ASSERT_OK_AND_ASSIGN(const Trap second, guest_->RunToTrap(*vcpu_));
  EXPECT_EQ(second.vector, kNmi);
  // Not inside the handler.
  EXPECT_LT(second.rip, KernelGuest::kCode + kSpinWithInterruptsOff.size());
  EXPECT_EQ(second.frame, first.frame);
  EXPECT_EQ(guest_->TrapCount(kNmi), 2u);
  guest_->SetWord(KernelGuest::kData, 1);
  ASSERT_OK(guest_->RunToPort(*vcpu_));
}

TEST_F(NmiTest, EndsAHaltWithInterruptsOff) {
  Start(kHaltWithInterruptsOff, Privilege::kKernel);
  if (IsSkipped() || HasFatalFailure()) return;
  ASSERT_OK(guest_->RunUntilHalted(*vcpu_));
  ASSERT_OK(QueueNmi(*vcpu_));
  ASSERT_OK_AND_ASSIGN(const Trap trap, guest_->RunToTrap(*vcpu_));
  EXPECT_EQ(trap.vector, kNmi);
  EXPECT_EQ(trap.rip, KernelGuest::kCode + 1);  // behind HLT
  ASSERT_OK(guest_->RunToPort(*vcpu_));
  EXPECT_EQ(guest_->TrapCount(kNmi), 1u);
}

TEST_F(NmiTest, InterProcessorFormReachesItsApic) {
  Start(kSendNmi, Privilege::kKernel);
  if (IsSkipped() || HasFatalFailure()) return;
  ASSERT_OK(guest_->EnableLocalApic(*vcpu_, KernelGuest::ApicMode::kXapic));
  guest_->Put(KernelGuest::kCode2, kSpinWithInterruptsOff);
  ASSERT_OK_AND_ASSIGN(Vcpu* const target, guest_->AddVcpu(1));
  ASSERT_OK(guest_->Start(*target, {.entry = KernelGuest::kCode2}));
  ASSERT_OK(guest_->EnableLocalApic(*target, KernelGuest::ApicMode::kXapic));

  ASSERT_OK(guest_->RunToPort(*vcpu_));
  EXPECT_EQ(guest_->TrapCount(kNmi), 0u);
  ASSERT_OK_AND_ASSIGN(const Trap trap, guest_->RunToTrap(*target));
  EXPECT_EQ(trap.vector, kNmi);
  EXPECT_EQ(trap.rsp, KernelGuest::StackTop(*target));
  EXPECT_EQ(guest_->TrapCount(kNmi), 1u);
}

}  // namespace
}  // namespace libvmm
