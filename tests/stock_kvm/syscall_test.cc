// SPDX-License-Identifier: Apache-2.0
// SYSCALL from CPL 3 and SYSRET back (Intel SDM volume 3, chapter 5.8.8).
#include <memory>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/boot/gdt.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/msrs.h"
#include "libvmm/testing/guest_code.h"
#include "libvmm/testing/kernel_guest.h"
#include "libvmm/testing/kvm_available.h"
#include "libvmm/testing/status_matchers.h"
#include "libvmm/testing/stock_kvm.h"

namespace libvmm {
namespace {

using ::libvmm::testing::GuestCode;
using ::libvmm::testing::KernelGuest;

constexpr uint32_t kStar = 0xc0000081;
constexpr uint32_t kLstar = 0xc0000082;
constexpr uint32_t kFmask = 0xc0000084;
constexpr uint64_t kEferSyscallEnable = 1;

constexpr uint64_t kInterruptFlag = 1 << 9;
constexpr uint64_t kIoPrivilege = 3 << 12;
constexpr uint64_t kDirectionFlag = 1 << 10;

// The MSRs as a kernel sets them; the entry is at kCode2, which CPL 3 may
// fetch from too, so that a KVM that stays at CPL 3 is found out.
void SetUpSyscall(Vcpu& vcpu) {
  ASSERT_OK(SetMsr(vcpu, {kStar, uint64_t{Gdt::kUserCode32} << 48 |
                                     uint64_t{Gdt::kKernelCode64} << 32}));
  ASSERT_OK(SetMsr(vcpu, {kLstar, KernelGuest::kCode2}));
  ASSERT_OK(SetMsr(vcpu, {kFmask, kInterruptFlag | kDirectionFlag}));
  ASSERT_OK_AND_ASSIGN(kvm_sregs* const sregs, vcpu.MutableSpecialRegisters());
  sregs->efer |= kEferSyscallEnable;
}

class SyscallTest : public ::testing::Test {
 protected:
  // Starts `user` at CPL 3 with `kernel` behind SYSCALL.
  void Start(GuestCode user, GuestCode kernel) {
    LIBVMM_NEEDS_KVM();
    ASSERT_OK_AND_ASSIGN(guest_, KernelGuest::Create({}));
    guest_->Put(KernelGuest::kCode, user);
    guest_->Put(KernelGuest::kCode2, kernel);
    ASSERT_OK_AND_ASSIGN(vcpu_, guest_->AddVcpu(0));
    ASSERT_OK(guest_->Start(
        *vcpu_, {.privilege = Privilege::kUser, .interrupts = true}));
    SetUpSyscall(*vcpu_);
  }

  std::unique_ptr<KernelGuest> guest_;
  Vcpu* vcpu_ = nullptr;
};

LIBVMM_GUEST_CODE(kCallOnce, 64, R"(
  mov $0x1111, %edi
  std
  syscall                  # 6 bytes from the start: RCX is 8
  out %eax, $0xf4
  pushf
  pop %rax
  out %eax, $0xf4
  mov %cs, %eax
  out %eax, $0xf4
  mov %ss, %eax
  out %eax, $0xf4
  mov %rsp, %rax
  out %eax, $0xf4
)");
constexpr uint64_t kAfterSyscall = KernelGuest::kCode + 8;

LIBVMM_GUEST_CODE(kLookAround, 64, R"(
  mov %cs, %eax
  out %eax, $0xf4
  mov %ss, %eax
  out %eax, $0xf4
  pushf
  pop %rax
  out %eax, $0xf4
  lea 0x1111(%rdi), %eax
  sysretq
)");

constexpr char kStaysAtUser[] = "SYSCALL enters LSTAR at CPL 3";

TEST_F(SyscallTest, EntersAtRing0AndReturnsToRing3) {
  Start(kCallOnce, kLookAround);
  if (IsSkipped() || HasFatalFailure()) return;
  ASSERT_OK_AND_ASSIGN(const uint32_t kernel_cs, guest_->RunToPort(*vcpu_));
  LIBVMM_NEEDS_STOCK_KVM((kernel_cs & 3) == 0, kStaysAtUser);
  EXPECT_EQ(kernel_cs, Gdt::kKernelCode64);
  ASSERT_OK_AND_ASSIGN(const kvm_regs* const regs, vcpu_->Registers());
  EXPECT_EQ(regs->rcx, kAfterSyscall);
  EXPECT_EQ(regs->r11 & (kInterruptFlag | kIoPrivilege | kDirectionFlag),
            kInterruptFlag | kIoPrivilege | kDirectionFlag);
  EXPECT_EQ(regs->rsp, KernelGuest::StackTop(*vcpu_));  // SYSCALL leaves it

  ASSERT_OK_AND_ASSIGN(const uint32_t kernel_ss, guest_->RunToPort(*vcpu_));
  EXPECT_EQ(kernel_ss, Gdt::kKernelData);
  ASSERT_OK_AND_ASSIGN(const uint32_t kernel_flags, guest_->RunToPort(*vcpu_));
  EXPECT_EQ(kernel_flags & (kInterruptFlag | kDirectionFlag), 0u);  // FMASK

  ASSERT_OK_AND_ASSIGN(const uint32_t result, guest_->RunToPort(*vcpu_));
  EXPECT_EQ(result, 0x2222u);
  ASSERT_OK_AND_ASSIGN(const uint32_t user_flags, guest_->RunToPort(*vcpu_));
  EXPECT_EQ(user_flags & (kInterruptFlag | kIoPrivilege | kDirectionFlag),
            kInterruptFlag | kIoPrivilege | kDirectionFlag);
  ASSERT_OK_AND_ASSIGN(const uint32_t user_cs, guest_->RunToPort(*vcpu_));
  EXPECT_EQ(user_cs, Gdt::kUserCode64);
  ASSERT_OK_AND_ASSIGN(const uint32_t user_ss, guest_->RunToPort(*vcpu_));
  EXPECT_EQ(user_ss, Gdt::kUserData);
  ASSERT_OK_AND_ASSIGN(const uint32_t user_rsp, guest_->RunToPort(*vcpu_));
  EXPECT_EQ(user_rsp, KernelGuest::StackTop(*vcpu_));
}

LIBVMM_GUEST_CODE(kCallManyTimes, 64, R"(
  mov $1000, %ebx
1:
  mov %ebx, %edi
  syscall
  dec %ebx
  jnz 1b
  out %eax, $0xf4
)");

// Privileged, so that a kernel at CPL 3 would take #GP: the sum of RDI so far.
LIBVMM_GUEST_CODE(kAddUp, 64, R"(
  mov %cr0, %rax
  add %rdi, DATA
  mov DATA, %rax
  sysretq
)");

TEST_F(SyscallTest, AThousandCallsReachThePrivilegedHandler) {
  Start(kCallManyTimes, kAddUp);
  if (IsSkipped() || HasFatalFailure()) return;
  ASSERT_OK_AND_ASSIGN(Exit exit, guest_->Run(*vcpu_));
  ASSERT_EQ(exit.reason(), ExitReason::kPio);
  LIBVMM_NEEDS_STOCK_KVM(exit.pio().port == KernelGuest::kPort, kStaysAtUser);
  EXPECT_EQ(guest_->Word(KernelGuest::kData), 500500u);
  EXPECT_EQ(guest_->TrapCount(13), 0u);
}

// Intel SDM volume 2, "SYSCALL": #UD if IA32_EFER.SCE = 0.
TEST_F(SyscallTest, IsUndefinedUntilEferEnablesIt) {
  Start(kCallOnce, kLookAround);
  if (IsSkipped() || HasFatalFailure()) return;
  ASSERT_OK_AND_ASSIGN(kvm_sregs* const sregs,
                       vcpu_->MutableSpecialRegisters());
  sregs->efer &= ~kEferSyscallEnable;
  ASSERT_OK_AND_ASSIGN(const Exit exit, guest_->Run(*vcpu_));
  ASSERT_EQ(exit.reason(), ExitReason::kPio);
  LIBVMM_NEEDS_STOCK_KVM(exit.pio().port == KernelGuest::kTrapPort,
                         "SYSCALL works without EFER.SCE");
  EXPECT_EQ(guest_->TrapCount(6), 1u);
}

}  // namespace
}  // namespace libvmm
