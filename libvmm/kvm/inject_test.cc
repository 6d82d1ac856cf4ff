// SPDX-License-Identifier: Apache-2.0
#include "libvmm/kvm/inject.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/irqchip.h"
#include "libvmm/testing/kvm_available.h"
#include "libvmm/testing/real_mode_guest.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm {
namespace {

using ::libvmm::testing::RealModeGuest;
using ::libvmm::testing::StatusIs;
using ::testing::HasSubstr;

// A guest that halts, with a handler for one vector that writes it to port
// 0x70.
absl::StatusOr<RealModeGuest> GuestWithHandler(uint8_t vector) {
  absl::StatusOr<RealModeGuest> guest = RealModeGuest::Create({0xf4});
  if (!guest.ok()) return guest;
  constexpr uint8_t kHandler = 0x20;  // page, at 0000:2000
  uint8_t* const memory = guest->memory();
  memory[vector * 4 + 1] = kHandler;
  uint8_t* const code = memory + kHandler * 0x100;
  code[0] = 0xb0;  // mov al, vector
  code[1] = vector;
  code[2] = 0xe6;  // out 0x70, al
  code[3] = 0x70;
  code[4] = 0xcf;  // iret
  return guest;
}

TEST(QueueInterruptTest, ReachesTheGuestsHandler) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(RealModeGuest guest, GuestWithHandler(0x31));
  ASSERT_OK_AND_ASSIGN(const bool queued, QueueInterrupt(guest.vcpu(), 0x31));
  EXPECT_TRUE(queued);
  ASSERT_OK_AND_ASSIGN(Exit exit, guest.vcpu().Run());
  ASSERT_EQ(exit.reason(), ExitReason::kPio);
  EXPECT_EQ(exit.pio().data[0], std::byte{0x31});
  ASSERT_OK_AND_ASSIGN(Exit halt, guest.vcpu().Run());
  EXPECT_EQ(halt.reason(), ExitReason::kHalt);
}

TEST(QueueInterruptTest, SurvivesEventsThatTheVcpuHoldsBack) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(RealModeGuest guest, GuestWithHandler(0x31));
  ASSERT_OK(guest.vcpu().MutableEvents());
  ASSERT_OK(QueueInterrupt(guest.vcpu(), 0x31));
  ASSERT_OK_AND_ASSIGN(const kvm_vcpu_events* events, guest.vcpu().Events());
  EXPECT_EQ(events->interrupt.injected, 1);
  EXPECT_EQ(events->interrupt.nr, 0x31);
}

TEST(QueueInterruptTest, SplitControllerTakesOneAtATime) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(Kvm kvm, Kvm::Open());
  ASSERT_OK_AND_ASSIGN(Vm vm, Vm::Create(kvm));
  ASSERT_OK_AND_ASSIGN(IrqChip chip, IrqChip::CreateSplit(vm));
  ASSERT_OK_AND_ASSIGN(Vcpu vcpu, Vcpu::Create(vm, 0));
  ASSERT_OK_AND_ASSIGN(const bool first, QueueInterrupt(vcpu, 0x31));
  EXPECT_TRUE(first);
  ASSERT_OK_AND_ASSIGN(const bool second, QueueInterrupt(vcpu, 0x32));
  EXPECT_FALSE(second);
}

TEST(QueueInterruptTest, FullControllerLeavesNoRoomForIt) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(Kvm kvm, Kvm::Open());
  ASSERT_OK_AND_ASSIGN(Vm vm, Vm::Create(kvm));
  ASSERT_OK_AND_ASSIGN(IrqChip chip, IrqChip::CreateFull(vm));
  ASSERT_OK_AND_ASSIGN(Vcpu vcpu, Vcpu::Create(vm, 0));
  EXPECT_THAT(
      QueueInterrupt(vcpu, 0x31),
      StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("vector 49")));
}

TEST(QueueNmiTest, ReachesTheGuestsHandler) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(RealModeGuest guest, GuestWithHandler(2));
  ASSERT_OK(QueueNmi(guest.vcpu()));
  ASSERT_OK_AND_ASSIGN(Exit exit, guest.vcpu().Run());
  ASSERT_EQ(exit.reason(), ExitReason::kPio);
  EXPECT_EQ(exit.pio().data[0], std::byte{2});
}

TEST(QueueSmiTest, IsPendingOrNamesItsCapability) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(RealModeGuest guest, RealModeGuest::Create({0xf4}));
  if (guest.vm().CheckExtension(KVM_CAP_X86_SMM) == 0) {
    EXPECT_THAT(QueueSmi(guest.vcpu()),
                StatusIs(absl::StatusCode::kUnimplemented,
                         HasSubstr("KVM_CAP_X86_SMM")));
    return;
  }
  ASSERT_OK(QueueSmi(guest.vcpu()));
  ASSERT_OK_AND_ASSIGN(const kvm_vcpu_events* events, guest.vcpu().Events());
  EXPECT_EQ(events->smi.pending, 1);
}

}  // namespace
}  // namespace libvmm
