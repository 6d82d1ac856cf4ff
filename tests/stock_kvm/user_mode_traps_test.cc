// SPDX-License-Identifier: Apache-2.0
// What takes a guest from CPL 3 to its kernel: INT n, exceptions and external
// interrupts, through IDT and task-state segment, and IRETQ back (Intel SDM
// volume 3, chapter 6.14).
#include <memory>
#include <ostream>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/boot/gdt.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/inject.h"
#include "libvmm/testing/guest_code.h"
#include "libvmm/testing/kernel_guest.h"
#include "libvmm/testing/kvm_available.h"
#include "libvmm/testing/status_matchers.h"
#include "libvmm/testing/stock_kvm.h"

namespace libvmm {
namespace {

using ::libvmm::testing::GuestCode;
using ::libvmm::testing::KernelGuest;
using ::testing::AnyOf;
using Trap = KernelGuest::Trap;

constexpr uint64_t kInterruptFlag = 1 << 9;
constexpr uint64_t kIoPrivilege = 3 << 12;
// Vector, error code, RIP, CS, RFLAGS, RSP, SS.
constexpr uint64_t kFrameSize = 7 * 8;

// What every trap from CPL 3 has in common.
void ExpectUserFrame(const Trap& trap, const Vcpu& vcpu) {
  EXPECT_EQ(trap.cs, Gdt::kUserCode64);
  EXPECT_EQ(trap.ss, Gdt::kUserData);
  EXPECT_EQ(trap.rsp, KernelGuest::StackTop(vcpu));
  EXPECT_EQ(trap.rflags & kInterruptFlag, kInterruptFlag);
  EXPECT_EQ(trap.frame, KernelGuest::kKernelHalf +
                            KernelGuest::Ring0StackTop(vcpu) - kFrameSize);
}

// Each starts with the instruction that traps and reports R12, which no handler
// touches, when it was returned from. R12 holds 0x77.
#define REPORT "mov %r12d, %eax; out %eax, $0xf4"

LIBVMM_GUEST_CODE(kInt80, 64, "int $0x80;" REPORT);
LIBVMM_GUEST_CODE(kInt3, 64, "int3;" REPORT);
LIBVMM_GUEST_CODE(kUndefined, 64, "ud2;" REPORT);
LIBVMM_GUEST_CODE(kHalt, 64, "hlt;" REPORT);
LIBVMM_GUEST_CODE(kReadControlRegister, 64, "mov %cr3, %rax;" REPORT);
LIBVMM_GUEST_CODE(kLoadBadSegment, 64, "mov %ebx, %fs;" REPORT);
LIBVMM_GUEST_CODE(kDivide, 64, "div %ecx;" REPORT);
LIBVMM_GUEST_CODE(kRead, 64, "mov (%rbx), %al;" REPORT);
LIBVMM_GUEST_CODE(kWrite, 64, "mov %al, (%rbx);" REPORT);
LIBVMM_GUEST_CODE(kJump, 64, "call *%rbx;" REPORT);

struct Row {
  const char* name;
  GuestCode code;
  uint64_t rbx;  // at the start; RCX is 0
  uint64_t vector;
  uint64_t error_code;
  uint64_t rip;  // where the trap points, relative to the start
  uint64_t length;
  bool page_fault = false;  // CR2 is rbx
};

// For messages of googletest.
void PrintTo(const Row& row, std::ostream* out) { *out << row.name; }

constexpr uint64_t kUnmapped = 0x5000'0000;

// Error codes: of #PF present 1, write 2, user 4, fetch 0x10; of others the
// selector, or the vector times 8 with IDT 2 (chapters 4.7 and 6.13).
const Row kRows[] = {
    {"Int80", kInt80, 0, 0x80, 0, 2, 2},
    {"Breakpoint", kInt3, 0, 3, 0, 1, 1},
    {"Undefined", kUndefined, 0, 6, 0, 0, 2},
    {"PrivilegedInstruction", kHalt, 0, 13, 0, 0, 1},
    {"ControlRegister", kReadControlRegister, 0, 13, 0, 0, 3},
    {"SegmentBeyondTheTable", kLoadBadSegment, 0x7f8, 13, 0x7f8, 0, 2},
    {"DivideByZero", kDivide, 0, 0, 0, 0, 2},
    {"ReadOfNothing", kRead, kUnmapped, 14, 4, 0, 2, true},
    {"WriteToNothing", kWrite, kUnmapped, 14, 6, 0, 2, true},
    {"ReadOfTheKernels", kRead, KernelGuest::kKernelHalf + KernelGuest::kData,
     14, 5, 0, 2, true},
    {"WriteToTheKernels", kWrite, KernelGuest::kKernelHalf + KernelGuest::kData,
     14, 7, 0, 2, true},
};

constexpr char kIntUndefined[] = "INT n at CPL 3 raises #UD";

class UserModeTrapsTest : public ::testing::Test {
 protected:
  void Start(GuestCode code) {
    LIBVMM_NEEDS_KVM();
    ASSERT_OK_AND_ASSIGN(guest_, KernelGuest::Create({}));
    guest_->Put(KernelGuest::kCode, code);
    ASSERT_OK_AND_ASSIGN(vcpu_, guest_->AddVcpu(0));
    ASSERT_OK(guest_->Start(
        *vcpu_, {.privilege = Privilege::kUser, .interrupts = true}));
    ASSERT_OK_AND_ASSIGN(kvm_regs* const regs, vcpu_->MutableRegisters());
    regs->r12 = 0x77;
  }

  std::unique_ptr<KernelGuest> guest_;
  Vcpu* vcpu_ = nullptr;
};

class UserModeTrapTest : public UserModeTrapsTest,
                         public ::testing::WithParamInterface<Row> {};

INSTANTIATE_TEST_SUITE_P(All, UserModeTrapTest, ::testing::ValuesIn(kRows),
                         [](const auto& row) -> std::string {
                           return row.param.name;
                         });

TEST_P(UserModeTrapTest, ReachesRing0WithItsFrameAndReturns) {
  const Row& row = GetParam();
  Start(row.code);
  if (IsSkipped() || HasFatalFailure()) return;
  ASSERT_OK_AND_ASSIGN(kvm_regs* const regs, vcpu_->MutableRegisters());
  regs->rbx = row.rbx;
  guest_->OnTrap(0x80, KernelGuest::kReport, Privilege::kUser);
  guest_->OnTrap(3, KernelGuest::kReport, Privilege::kUser);

  ASSERT_OK_AND_ASSIGN(const Trap trap, guest_->RunToTrap(*vcpu_));
  LIBVMM_NEEDS_STOCK_KVM(row.vector != 0x80 || trap.vector != 6, kIntUndefined);
  EXPECT_EQ(trap.vector, row.vector);
  EXPECT_EQ(trap.error_code, row.error_code);
  EXPECT_EQ(trap.rip, KernelGuest::kCode + row.rip);
  if (row.page_fault) {
    EXPECT_EQ(trap.cr2, row.rbx);
  }
  ExpectUserFrame(trap, *vcpu_);

  guest_->ReturnTo(trap, KernelGuest::kCode + row.length);
  ASSERT_OK_AND_ASSIGN(const uint32_t back, guest_->RunToPort(*vcpu_));
  EXPECT_EQ(back, 0x77u);
  ASSERT_OK_AND_ASSIGN(const kvm_sregs* const sregs, vcpu_->SpecialRegisters());
  EXPECT_EQ(sregs->cs.selector, Gdt::kUserCode64);
  EXPECT_EQ(guest_->TrapCount(static_cast<uint8_t>(row.vector)), 1u);
}

TEST_F(UserModeTrapsTest, FetchFromAPageThatIsNotExecutable) {
  Start(kJump);
  if (IsSkipped() || HasFatalFailure()) return;
  ASSERT_OK_AND_ASSIGN(kvm_regs* const regs, vcpu_->MutableRegisters());
  regs->rbx = kUnmapped;
  ASSERT_OK_AND_ASSIGN(const Trap trap, guest_->RunToTrap(*vcpu_));
  EXPECT_EQ(trap.vector, 14u);
  EXPECT_EQ(trap.error_code, 0x14u);
  EXPECT_EQ(trap.rip, kUnmapped);
  EXPECT_EQ(trap.cr2, kUnmapped);
  EXPECT_EQ(trap.rsp, KernelGuest::StackTop(*vcpu_) - 8);
}

TEST_F(UserModeTrapsTest, FlagsKeepTheIoPrivilege) {
  Start(kUndefined);
  if (IsSkipped() || HasFatalFailure()) return;
  ASSERT_OK_AND_ASSIGN(const Trap trap, guest_->RunToTrap(*vcpu_));
  LIBVMM_NEEDS_STOCK_KVM((trap.rflags & kIoPrivilege) != 0,
                         "IOPL is lost at CPL 3");
  EXPECT_EQ(trap.rflags & kIoPrivilege, kIoPrivilege);
}

// A gate of DPL 0 is not for INT n of CPL 3.
TEST_F(UserModeTrapsTest, GateOfTheKernelIsProtected) {
  Start(kInt80);
  if (IsSkipped() || HasFatalFailure()) return;
  ASSERT_OK_AND_ASSIGN(const Trap trap, guest_->RunToTrap(*vcpu_));
  LIBVMM_NEEDS_STOCK_KVM(trap.vector != 6, kIntUndefined);
  EXPECT_EQ(trap.vector, 13u);
  // QEMU's software emulation, where that is the processor under KVM, counts in
  // its gates of 16 bytes.
  EXPECT_THAT(trap.error_code, AnyOf(0x80u * 8 + 2, 0x80u * 16 + 2));
  EXPECT_EQ(trap.rip, KernelGuest::kCode);
  ExpectUserFrame(trap, *vcpu_);
}

LIBVMM_GUEST_CODE(kSpin, 64, R"(
1:
  cmpq $0, DATA
  je 1b
  mov %r12d, %eax
  out %eax, $0xf4
)");

TEST_F(UserModeTrapsTest, ExternalInterruptComesIn) {
  Start(kSpin);
  if (IsSkipped() || HasFatalFailure()) return;
  ASSERT_OK(QueueInterrupt(*vcpu_, 0x31));
  ASSERT_OK_AND_ASSIGN(const Trap trap, guest_->RunToTrap(*vcpu_));
  EXPECT_EQ(trap.vector, 0x31u);
  EXPECT_GE(trap.rip, KernelGuest::kCode);
  EXPECT_LT(trap.rip, KernelGuest::kCode + kSpin.size());
  ExpectUserFrame(trap, *vcpu_);
  // An interrupt gate: the handler runs with interrupts off.
  ASSERT_OK_AND_ASSIGN(const kvm_regs* const regs, vcpu_->Registers());
  EXPECT_EQ(regs->rflags & kInterruptFlag, 0u);

  guest_->SetWord(KernelGuest::kData, 1);
  ASSERT_OK_AND_ASSIGN(const uint32_t back, guest_->RunToPort(*vcpu_));
  EXPECT_EQ(back, 0x77u);
  EXPECT_EQ(guest_->TrapCount(0x31), 1u);
}

LIBVMM_GUEST_CODE(kManyTraps, 64, R"(
  mov $500, %ebx
1:
  int $0x80
  dec %ebx
  jnz 1b
  mov %r12d, %eax
  out %eax, $0xf4
)");

TEST_F(UserModeTrapsTest, FiveHundredRoundTrips) {
  Start(kManyTraps);
  if (IsSkipped() || HasFatalFailure()) return;
  guest_->OnTrap(0x80, KernelGuest::kCount, Privilege::kUser);
  ASSERT_OK_AND_ASSIGN(const Exit exit, guest_->Run(*vcpu_));
  LIBVMM_NEEDS_STOCK_KVM(guest_->TrapCount(6) == 0, kIntUndefined);
  ASSERT_EQ(exit.reason(), ExitReason::kPio);
  ASSERT_EQ(exit.pio().port, KernelGuest::kPort);
  const auto back = static_cast<uint8_t>(exit.pio().data[0]);
  EXPECT_EQ(back, 0x77u);
  EXPECT_EQ(guest_->TrapCount(0x80), 500u);
}

}  // namespace
}  // namespace libvmm
