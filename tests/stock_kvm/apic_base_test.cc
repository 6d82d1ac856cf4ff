// SPDX-License-Identifier: Apache-2.0
// IA32_APIC_BASE written by the guest: the register page moves, the local APIC
// goes to x2APIC mode, or off (Intel SDM volume 3, chapters 11.4.4 and
// 11.12.5).
#include <memory>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/vm_capabilities.h"
#include "libvmm/testing/guest_code.h"
#include "libvmm/testing/kernel_guest.h"
#include "libvmm/testing/kvm_available.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm {
namespace {

using ::libvmm::testing::GuestCode;
using ::libvmm::testing::KernelGuest;
using Trap = KernelGuest::Trap;

constexpr uint64_t kReset = 0xfee00000;
constexpr uint64_t kEnable = 1 << 11;
constexpr uint64_t kX2apic = 1 << 10;
constexpr uint64_t kBootstrap = 1 << 8;
constexpr uint32_t kVersionRegister = 0x30;
constexpr uint32_t kVersion = 0x14;  // low byte of what KVM's local APIC is

// Writes EDI to IA32_APIC_BASE; reports the version register at 0xfee00030 and
// at kHole + 0x30.
LIBVMM_GUEST_CODE(kMove, 64, R"(
  mov $0x1b, %ecx
  mov %edi, %eax
  xor %edx, %edx
  wrmsr
  mov $0xfee00030, %ebx
  mov (%rbx), %eax
  out %eax, $0xf4
  mov $0xd0000030, %ebx
  mov (%rbx), %eax
  out %eax, $0xf4
)");

// Writes EDI to IA32_APIC_BASE; reports the version register as an MSR.
LIBVMM_GUEST_CODE(kReadByMsr, 64, R"(
  mov $0x1b, %ecx
  mov %edi, %eax
  xor %edx, %edx
  wrmsr
  mov $0x803, %ecx
1:
  rdmsr
  out %eax, $0xf4
)");

// Writes EDI, then ESI to IA32_APIC_BASE and reports.
LIBVMM_GUEST_CODE(kWriteTwo, 64, R"(
  mov $0x1b, %ecx
  mov %edi, %eax
  xor %edx, %edx
  wrmsr
  mov %esi, %eax
  wrmsr
  out %al, $0xf4
)");

class ApicBaseTest : public ::testing::Test {
 protected:
  void Start(GuestCode code, uint64_t first, uint64_t second = 0) {
    LIBVMM_NEEDS_KVM();
    ASSERT_OK_AND_ASSIGN(
        guest_,
        KernelGuest::Create({.controller = KernelGuest::Controller::kFull}));
    guest_->Put(KernelGuest::kCode, code);
    ASSERT_OK_AND_ASSIGN(vcpu_, guest_->AddVcpu(0));
    ASSERT_OK(guest_->Start(*vcpu_));
    ASSERT_OK_AND_ASSIGN(kvm_regs* const regs, vcpu_->MutableRegisters());
    regs->rdi = first;
    regs->rsi = second;
  }

  void ExpectBase(uint64_t base) {
    ASSERT_OK_AND_ASSIGN(const kvm_sregs* const sregs,
                         vcpu_->SpecialRegisters());
    EXPECT_EQ(sregs->apic_base, base);
  }

  // The guest's next exit is a read of `gpa`, which it is answered with 0x99.
  void ExpectRead(uint64_t gpa) {
    ASSERT_OK_AND_ASSIGN(const Exit exit, guest_->Run(*vcpu_));
    ASSERT_EQ(exit.reason(), ExitReason::kMmio)
        << ::libvmm::testing::DescribeExit(exit);
    EXPECT_FALSE(exit.mmio().is_write);
    EXPECT_EQ(exit.mmio().gpa, Gpa(gpa));
    exit.mmio().data[0] = std::byte{0x99};
  }

  std::unique_ptr<KernelGuest> guest_;
  Vcpu* vcpu_ = nullptr;
};

TEST_F(ApicBaseTest, StaysWhereItIsWrittenUnchanged) {
  Start(kMove, kReset | kEnable | kBootstrap);
  if (IsSkipped() || HasFatalFailure()) return;
  ASSERT_OK_AND_ASSIGN(const uint32_t version, guest_->RunToPort(*vcpu_));
  EXPECT_EQ(version & 0xff, kVersion);
  ExpectRead(KernelGuest::kHole + kVersionRegister);
  ASSERT_OK_AND_ASSIGN(const uint32_t hole, guest_->RunToPort(*vcpu_));
  EXPECT_EQ(hole & 0xff, 0x99u);
}

TEST_F(ApicBaseTest, MovedPageAnswersAndTheOldOneExits) {
  const uint64_t moved = KernelGuest::kHole | kEnable | kBootstrap;
  Start(kMove, moved);
  if (IsSkipped() || HasFatalFailure()) return;
  ExpectRead(kReset + kVersionRegister);
  ASSERT_OK_AND_ASSIGN(const uint32_t old_place, guest_->RunToPort(*vcpu_));
  EXPECT_EQ(old_place & 0xff, 0x99u);
  ExpectBase(moved);
  ASSERT_OK_AND_ASSIGN(const uint32_t version, guest_->RunToPort(*vcpu_));
  EXPECT_EQ(version & 0xff, kVersion);
}

TEST_F(ApicBaseTest, X2apicModeAnswersByMsr) {
  const uint64_t base = kReset | kEnable | kX2apic | kBootstrap;
  Start(kReadByMsr, base);
  if (IsSkipped() || HasFatalFailure()) return;
  ASSERT_OK_AND_ASSIGN(const uint32_t version, guest_->RunToPort(*vcpu_));
  EXPECT_EQ(version & 0xff, kVersion);
  ExpectBase(base);
}

TEST_F(ApicBaseTest, X2apicMsrsFaultInXapicMode) {
  Start(kReadByMsr, kReset | kEnable | kBootstrap);
  if (IsSkipped() || HasFatalFailure()) return;
  ASSERT_OK_AND_ASSIGN(const Trap trap, guest_->RunToTrap(*vcpu_));
  EXPECT_EQ(trap.vector, 13u);
}

// What is there in its place is the host's to say only without a quirk that
// KVM has by default: all ones.
TEST_F(ApicBaseTest, PageReadsAllOnesInX2apicMode) {
  Start(kMove, kReset | kEnable | kX2apic | kBootstrap);
  if (IsSkipped() || HasFatalFailure()) return;
  ASSERT_OK_AND_ASSIGN(const uint32_t value, guest_->RunToPort(*vcpu_));
  EXPECT_EQ(value, 0xffffffffu);
}

TEST_F(ApicBaseTest, PageExitsInX2apicModeWithoutTheQuirk) {
  Start(kMove, kReset | kEnable | kX2apic | kBootstrap);
  if (IsSkipped() || HasFatalFailure()) return;
  ASSERT_OK(DisableQuirks(guest_->vm(), KVM_X86_QUIRK_LAPIC_MMIO_HOLE));
  ExpectRead(kReset + kVersionRegister);
}

TEST_F(ApicBaseTest, PageExitsWhenDisabledWithoutTheQuirk) {
  Start(kMove, kReset | kBootstrap);
  if (IsSkipped() || HasFatalFailure()) return;
  ASSERT_OK(DisableQuirks(guest_->vm(), KVM_X86_QUIRK_LAPIC_MMIO_HOLE));
  ExpectRead(kReset + kVersionRegister);
  ExpectBase(kReset | kBootstrap);
}

// From x2APIC back to xAPIC leads only through "disabled".
TEST_F(ApicBaseTest, X2apicToXapicFaults) {
  Start(kWriteTwo, kReset | kEnable | kX2apic | kBootstrap,
        kReset | kEnable | kBootstrap);
  if (IsSkipped() || HasFatalFailure()) return;
  ASSERT_OK_AND_ASSIGN(const Trap trap, guest_->RunToTrap(*vcpu_));
  EXPECT_EQ(trap.vector, 13u);
  ExpectBase(kReset | kEnable | kX2apic | kBootstrap);
}

TEST_F(ApicBaseTest, X2apicWithoutEnableFaults) {
  Start(kWriteTwo, kReset | kX2apic | kBootstrap, 0);
  if (IsSkipped() || HasFatalFailure()) return;
  ASSERT_OK_AND_ASSIGN(const Trap trap, guest_->RunToTrap(*vcpu_));
  EXPECT_EQ(trap.vector, 13u);
  ExpectBase(kReset | kEnable | kBootstrap);
}

}  // namespace
}  // namespace libvmm
