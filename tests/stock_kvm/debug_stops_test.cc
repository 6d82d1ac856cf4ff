// SPDX-License-Identifier: Apache-2.0
// Single-step and hardware breakpoints of KVM_SET_GUEST_DEBUG on long mode
// guests at both privilege levels.
#include <array>
#include <memory>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/guest_debug.h"
#include "libvmm/testing/guest_code.h"
#include "libvmm/testing/kernel_guest.h"
#include "libvmm/testing/kvm_available.h"
#include "libvmm/testing/status_matchers.h"
#include "libvmm/testing/stock_kvm.h"

namespace libvmm {
namespace {

using ::libvmm::testing::KernelGuest;

constexpr uint64_t kTrapFlag = 1 << 8;
constexpr uint64_t kSingleStepped = 1 << 14;  // DR6.BS

LIBVMM_GUEST_CODE(kSteps, 64, R"(
  mov $5, %eax             # 5 bytes, to +5
  add $2, %eax             # 3 bytes, to +8
  jmp 1f                   # 2 bytes, to +11
  nop
1:
  mov %eax, DATA           # 7 bytes, to +18
  push %rax                # 1 byte, to +19
  pop %rbx                 # 1 byte, to +20
  out %al, $0xf4
)");
constexpr std::array<uint64_t, 6> kStops = {5, 8, 11, 18, 19, 20};

class DebugStopsTest : public ::testing::TestWithParam<Privilege> {
 protected:
  void SetUp() override {
    LIBVMM_NEEDS_KVM();
    ASSERT_OK_AND_ASSIGN(guest_, KernelGuest::Create({}));
    guest_->Put(KernelGuest::kCode, kSteps);
    ASSERT_OK_AND_ASSIGN(vcpu_, guest_->AddVcpu(0));
    ASSERT_OK(guest_->Start(*vcpu_, {.privilege = GetParam()}));
  }

  uint64_t Offset() {
    const absl::StatusOr<const kvm_regs*> regs = vcpu_->Registers();
    EXPECT_OK(regs);
    return (*regs)->rip - KernelGuest::kCode;
  }

  std::unique_ptr<KernelGuest> guest_;
  Vcpu* vcpu_ = nullptr;
};

INSTANTIATE_TEST_SUITE_P(Both, DebugStopsTest,
                         ::testing::Values(Privilege::kKernel,
                                           Privilege::kUser),
                         [](const auto& row) -> std::string {
                           return row.param == Privilege::kKernel ? "Kernel"
                                                                  : "User";
                         });

TEST_P(DebugStopsTest, SingleStepStopsBehindEveryInstruction) {
  ASSERT_OK(SetGuestDebug(*vcpu_, {.single_step = true}));
  for (const uint64_t stop : kStops) {
    ASSERT_OK_AND_ASSIGN(const Exit exit, guest_->Run(*vcpu_));
    ASSERT_EQ(exit.reason(), ExitReason::kDebug);
    LIBVMM_NEEDS_STOCK_KVM(exit.debug().pc < KernelGuest::kKernelHalf,
                           "single steps of CPL 3 go to the guest's handler");
    EXPECT_EQ(exit.debug().exception, 1u);
    EXPECT_EQ(exit.debug().dr6 & kSingleStepped, kSingleStepped);
    EXPECT_EQ(exit.debug().pc, KernelGuest::kCode + stop);
    EXPECT_EQ(Offset(), stop);
  }
  EXPECT_EQ(guest_->Word(KernelGuest::kData) & 0xffffffff, 7u);
  ASSERT_OK(SetGuestDebug(*vcpu_, GuestDebug{}));
  ASSERT_OK_AND_ASSIGN(const uint32_t result, guest_->RunToPort(*vcpu_));
  EXPECT_EQ(result, 7u);
  // The guest has seen nothing of it.
  EXPECT_EQ(guest_->TrapCount(1), 0u);
  ASSERT_OK_AND_ASSIGN(const kvm_regs* const regs, vcpu_->Registers());
  EXPECT_EQ(regs->rflags & kTrapFlag, 0u);
}

// The guest's own trap flag is the guest's: a #DB, not an exit.
TEST_P(DebugStopsTest, TrapFlagOfTheGuestStaysItsOwn) {
  ASSERT_OK_AND_ASSIGN(kvm_regs* const regs, vcpu_->MutableRegisters());
  regs->rflags |= kTrapFlag;
  ASSERT_OK_AND_ASSIGN(const Exit exit, guest_->Run(*vcpu_));
  LIBVMM_NEEDS_STOCK_KVM(exit.reason() == ExitReason::kPio &&
                             exit.pio().port == KernelGuest::kTrapPort,
                         "the trap flag is not emulated");
  EXPECT_EQ(guest_->TrapCount(1), 1u);
}

TEST_P(DebugStopsTest, ExecuteBreakpointStopsBeforeItsInstruction) {
  const HardwareBreakpoint at[] = {{.address = Gva(KernelGuest::kCode + 11)}};
  ASSERT_OK(SetGuestDebug(*vcpu_, {.hardware_breakpoints = at}));
  ASSERT_OK_AND_ASSIGN(const Exit exit, guest_->Run(*vcpu_));
  if (exit.reason() != ExitReason::kDebug) {
    // The processor never reports it: an emulator that does not look at the
    // debug registers of a nested guest. The guest must not be harmed.
    ASSERT_EQ(exit.reason(), ExitReason::kPio);
    EXPECT_EQ(exit.pio().port, KernelGuest::kPort);
    EXPECT_EQ(guest_->Word(KernelGuest::kData) & 0xffffffff, 7u);
    GTEST_SKIP() << "execute breakpoints never stop on this processor or KVM";
  }
  EXPECT_EQ(exit.debug().exception, 1u);
  EXPECT_EQ(exit.debug().dr6 & 0xf, 1u);
  EXPECT_EQ(Offset(), 11u);
  EXPECT_EQ(guest_->Word(KernelGuest::kData), 0u);
  ASSERT_OK(SetGuestDebug(*vcpu_, GuestDebug{}));
  ASSERT_OK_AND_ASSIGN(const uint32_t result, guest_->RunToPort(*vcpu_));
  EXPECT_EQ(result, 7u);
}

TEST_P(DebugStopsTest, WatchpointStopsBehindTheWrite) {
  const HardwareBreakpoint at[] = {{.address = Gva(KernelGuest::kData),
                                    .kind = HardwareBreakpoint::Kind::kWrite,
                                    .size = 4}};
  ASSERT_OK(SetGuestDebug(*vcpu_, {.hardware_breakpoints = at}));
  ASSERT_OK_AND_ASSIGN(const Exit exit, guest_->Run(*vcpu_));
  if (exit.reason() != ExitReason::kDebug) {
    ASSERT_EQ(exit.reason(), ExitReason::kPio);
    EXPECT_EQ(exit.pio().port, KernelGuest::kPort);
    GTEST_SKIP() << "watchpoints never stop on this processor or KVM";
  }
  EXPECT_EQ(exit.debug().dr6 & 0xf, 1u);
  EXPECT_EQ(Offset(), 18u);
  EXPECT_EQ(guest_->Word(KernelGuest::kData) & 0xffffffff, 7u);
}

}  // namespace
}  // namespace libvmm
