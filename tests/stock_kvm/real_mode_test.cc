// SPDX-License-Identifier: Apache-2.0
// Real mode and the ways out of it that a guest takes by itself: interrupts by
// the vector table, string I/O, segment limits kept from protected mode, and
// long mode; 32-bit and PAE paging (Intel SDM volume 3, chapters 4.3, 4.4, 9.8
// and 21).
#include "libvmm/boot/real_mode.h"

#include <cstring>
#include <memory>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/boot/protected_mode.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/testing/guest_code.h"
#include "libvmm/testing/kernel_guest.h"
#include "libvmm/testing/kvm_available.h"
#include "libvmm/testing/status_matchers.h"
#include "libvmm/testing/stock_kvm.h"

namespace libvmm {
namespace {

using ::libvmm::testing::GuestCode;
using ::libvmm::testing::KernelGuest;
using ::testing::ElementsAre;

constexpr uint16_t kCodeSegment = KernelGuest::kCode >> 4;
constexpr uint16_t kDataSegment = KernelGuest::kData >> 4;

class RealModeTest : public ::testing::Test {
 protected:
  // `code` starts at kCode:0 with DS at kData and a stack at 0:8000. Tables of
  // long mode are in memory, for guests that go there.
  void Start(GuestCode code) {
    LIBVMM_NEEDS_KVM();
    ASSERT_OK_AND_ASSIGN(guest_, KernelGuest::Create({}));
    guest_->Put(KernelGuest::kCode, code);
    ASSERT_OK_AND_ASSIGN(vcpu_, guest_->AddVcpu(0));
    ASSERT_OK(guest_->Start(*vcpu_));
    ASSERT_OK_AND_ASSIGN(const kvm_sregs* const sregs,
                         vcpu_->SpecialRegisters());
    gdt_ = sregs->gdt.base;
    gdt_limit_ = sregs->gdt.limit;
    root_ = sregs->cr3;
    ASSERT_OK(EnterRealMode(
        *vcpu_, {.cs = kCodeSegment, .ds = kDataSegment, .sp = 0x8000}));
  }

  std::unique_ptr<KernelGuest> guest_;
  Vcpu* vcpu_ = nullptr;
  uint64_t gdt_ = 0;
  uint64_t gdt_limit_ = 0;
  uint64_t root_ = 0;
};

LIBVMM_GUEST_CODE(kSegments, 16, R"(
  movw $0x1111, 0x10       # DS
  mov $0x2345, %ax
  mov %ax, %es
  movw $0x2222, %es:0x10
  mov $0x2400, %ax
  mov %ax, %fs
  movw $0x3333, %fs:0x10
  mov %cs:1f - kSegments_start, %eax
  out %eax, $0xf4
1:
  .long 0x44444444
)");

TEST_F(RealModeTest, EverySegmentAddsSixteenTimesItsSelector) {
  Start(kSegments);
  if (IsSkipped() || HasFatalFailure()) return;
  ASSERT_OK_AND_ASSIGN(const uint32_t code, guest_->RunToPort(*vcpu_));
  EXPECT_EQ(code, 0x44444444u);
  EXPECT_EQ(guest_->Word(KernelGuest::kData + 0x10), 0x1111u);
  EXPECT_EQ(guest_->Word(0x23450 + 0x10), 0x2222u);
  EXPECT_EQ(guest_->Word(0x24000 + 0x10), 0x3333u);
}

// The handler reports what is on the stack: IP, CS, FLAGS.
LIBVMM_GUEST_CODE(kInterrupt, 16, R"(
  xor %ax, %ax
  mov %ax, %es
  movw $(1f - kInterrupt_start), %es:0x21 * 4
  mov %cs, %es:0x21 * 4 + 2
  sti
  stc
  int $0x21                # FLAGS: interrupts and carry
2:
  pushf
  pop %ax
  out %ax, $0xf4
1:
  mov %sp, %bp
  mov (%bp), %ax
  sub $(2b - kInterrupt_start), %ax
  out %ax, $0xf4
  mov 2(%bp), %ax
  out %ax, $0xf4
  mov 4(%bp), %ax
  out %ax, $0xf4
  pushf
  pop %ax
  out %ax, $0xf4
  clc
  iret
)");

TEST_F(RealModeTest, SoftwareInterruptGoesThroughTheVectorTable) {
  Start(kInterrupt);
  if (IsSkipped() || HasFatalFailure()) return;
  constexpr uint32_t kInterruptFlag = 1 << 9;
  constexpr uint32_t kCarry = 1;
  ASSERT_OK_AND_ASSIGN(const uint32_t ip, guest_->RunToPort(*vcpu_));
  EXPECT_EQ(ip, 0u);
  ASSERT_OK_AND_ASSIGN(const uint32_t cs, guest_->RunToPort(*vcpu_));
  EXPECT_EQ(cs, kCodeSegment);
  ASSERT_OK_AND_ASSIGN(const uint32_t pushed, guest_->RunToPort(*vcpu_));
  EXPECT_EQ(pushed & (kInterruptFlag | kCarry), kInterruptFlag | kCarry);
  ASSERT_OK_AND_ASSIGN(const uint32_t inside, guest_->RunToPort(*vcpu_));
  EXPECT_EQ(inside & kInterruptFlag, 0u);
  ASSERT_OK_AND_ASSIGN(const uint32_t back, guest_->RunToPort(*vcpu_));
  EXPECT_EQ(back & (kInterruptFlag | kCarry), kInterruptFlag | kCarry);
}

LIBVMM_GUEST_CODE(kDivideByZero, 16, R"(
  xor %ax, %ax
  mov %ax, %es
  movw $(1f - kDivideByZero_start), %es:0
  mov %cs, %es:2
  xor %cl, %cl
2:
  div %cl
1:
  pop %ax
  sub $(2b - kDivideByZero_start), %ax
  out %ax, $0xf4
)");

TEST_F(RealModeTest, FaultPointsAtItsInstruction) {
  Start(kDivideByZero);
  if (IsSkipped() || HasFatalFailure()) return;
  ASSERT_OK_AND_ASSIGN(const uint32_t ip, guest_->RunToPort(*vcpu_));
  EXPECT_EQ(ip, 0u);
}

// Sends the 3 words at DS:0 forwards, then backwards.
LIBVMM_GUEST_CODE(kStringOut, 16, R"(
  xor %si, %si
  mov $3, %cx
  mov $0xe0, %dx
  cld
  rep outsw
  mov $4, %si
  mov $3, %cx
  std
  rep outsw
  mov %si, %ax
  out %ax, $0xf4
)");

TEST_F(RealModeTest, StringOutputFollowsTheDirectionFlag) {
  Start(kStringOut);
  if (IsSkipped() || HasFatalFailure()) return;
  guest_->SetWord(KernelGuest::kData, 0x0003'0002'0001);
  std::vector<uint16_t> sent;
  // Six elements come in at most as many exits.
  for (int exits = 0; exits < 7; ++exits) {
    ASSERT_OK_AND_ASSIGN(const Exit exit, guest_->Run(*vcpu_));
    ASSERT_EQ(exit.reason(), ExitReason::kPio);
    if (exit.pio().port == KernelGuest::kPort) break;
    ASSERT_EQ(exit.pio().port, 0xe0);
    ASSERT_EQ(exit.pio().size, 2);
    ASSERT_EQ(exit.pio().data.size(), exit.pio().count * 2);
    for (size_t i = 0; i < exit.pio().count; ++i) {
      uint16_t word;
      std::memcpy(&word, &exit.pio().data[2 * i], sizeof word);
      sent.push_back(word);
    }
  }
  EXPECT_THAT(sent, ElementsAre(1, 2, 3, 3, 2, 1));
  ASSERT_OK_AND_ASSIGN(const kvm_regs* const regs, vcpu_->Registers());
  EXPECT_EQ(regs->rax & 0xffff, 0xfffe);  // SI went below zero
}

// Loads DS with a limit of 4 GiB in protected mode, goes back, and reaches
// above 1 MiB. The GDT's register is at DS:0x20.
LIBVMM_GUEST_CODE(kBigSegment, 16, R"(
  cli
  lgdtl 0x20
  mov %cr0, %eax
  or $1, %al
  mov %eax, %cr0
  mov $0x18, %bx           # Gdt::kKernelData
  mov %bx, %ds
  and $0xfe, %al
  mov %eax, %cr0
  mov $0x1ff000, %ebx
  movl $0x12345678, (%ebx)
  mov (%ebx), %eax
  out %eax, $0xf4
)");

TEST_F(RealModeTest, LimitOfProtectedModeStaysBehindInRealMode) {
  Start(kBigSegment);
  if (IsSkipped() || HasFatalFailure()) return;
  guest_->SetWord(KernelGuest::kData + 0x20, gdt_limit_ | gdt_ << 16);
  ASSERT_OK_AND_ASSIGN(const uint32_t value, guest_->RunToPort(*vcpu_));
  EXPECT_EQ(value, 0x12345678u);
  EXPECT_EQ(guest_->Word(0x1ff000) & 0xffffffff, 0x12345678u);
  ASSERT_OK_AND_ASSIGN(const kvm_sregs* const sregs, vcpu_->SpecialRegisters());
  EXPECT_EQ(sregs->cr0 & 1, 0u);
}

// By itself from real to protected to long mode, with a report from each. The
// GDT's register is at DS:0x20, the root of the page tables at DS:0x30.
LIBVMM_GUEST_CODE(kToLongMode, 16, R"(
  cli
  mov $0x16, %al
  out %al, $0xf4
  lgdtl 0x20
  mov 0x30, %edi
  mov %cr0, %eax
  or $1, %eax
  mov %eax, %cr0
  ljmpl $0x08, $(1f - kToLongMode_start + 0x10000)
  .code32
1:
  mov $0x18, %eax
  mov %eax, %ds
  mov %eax, %ss
  mov $0x8000, %esp
  push $0x32
  pop %eax
  out %al, $0xf4
  mov $0x20, %eax          # PAE
  mov %eax, %cr4
  mov %edi, %cr3
  mov $0xc0000080, %ecx
  mov $0x900, %eax         # LME, NXE
  xor %edx, %edx
  wrmsr
  mov %cr0, %eax
  or $0x80000000, %eax
  mov %eax, %cr0
  ljmpl $0x10, $(1f - kToLongMode_start + 0x10000)
  .code64
1:
  mov $0x6400000000, %rax
  shr $32, %rax
  out %al, $0xf4
)");

TEST_F(RealModeTest, GuestBringsItselfToLongMode) {
  Start(kToLongMode);
  if (IsSkipped() || HasFatalFailure()) return;
  guest_->SetWord(KernelGuest::kData + 0x20, gdt_limit_ | gdt_ << 16);
  guest_->SetWord(KernelGuest::kData + 0x30, root_);
  for (const uint32_t mode : {0x16u, 0x32u, 0x64u}) {
    ASSERT_OK_AND_ASSIGN(const uint32_t report, guest_->RunToPort(*vcpu_));
    EXPECT_EQ(report, mode);
  }
  ASSERT_OK_AND_ASSIGN(const kvm_sregs* const sregs, vcpu_->SpecialRegisters());
  EXPECT_EQ(sregs->efer & 0x500, 0x500u);  // LME, LMA
  EXPECT_EQ(sregs->cs.l, 1);
}

// From protected mode: CR4 is EDX, CR3 EDI, then paging on. Writes through the
// page at 4 MiB, which the tables lead to DATA, and reports what it reads
// there.
LIBVMM_GUEST_CODE(kSwitchPagingOn, 32, R"(
  mov %edx, %cr4
  mov %edi, %cr3
  mov %cr0, %eax
  or $0x80000000, %eax
  mov %eax, %cr0
  movl $0x0badcafe, 0x400010
  mov 0x400010, %eax
  out %eax, $0xf4
)");

class LegacyPagingTest : public ::testing::Test {
 protected:
  static constexpr uint64_t kRoot = 0x180000;
  static constexpr uint64_t kMiddle = 0x181000;
  static constexpr uint64_t kLast = 0x182000;
  static constexpr uint64_t kPresentWritable = 3;
  static constexpr uint64_t kLarge = 0x80;
  static constexpr char kNoPaging[] = "a guest with 32-bit or PAE paging ends";

  void Start(uint64_t cr4) {
    LIBVMM_NEEDS_KVM();
    ASSERT_OK_AND_ASSIGN(guest_, KernelGuest::Create({}));
    guest_->Put(KernelGuest::kCode, kSwitchPagingOn);
    ASSERT_OK_AND_ASSIGN(vcpu_, guest_->AddVcpu(0));
    ASSERT_OK(EnterProtectedMode(*vcpu_, guest_->memory(),
                                 {.entry = Gpa(KernelGuest::kCode),
                                  .stack_top = Gpa(0x8000),
                                  .tables = Gpa(0x24000)}));
    ASSERT_OK_AND_ASSIGN(kvm_regs* const regs, vcpu_->MutableRegisters());
    regs->rdx = cr4;
    regs->rdi = kRoot;
  }

  void ExpectThePageToBeData() {
    ASSERT_OK_AND_ASSIGN(const Exit exit, guest_->Run(*vcpu_));
    LIBVMM_NEEDS_STOCK_KVM(exit.reason() != ExitReason::kShutdown, kNoPaging);
    ASSERT_EQ(exit.reason(), ExitReason::kPio);
    EXPECT_EQ(guest_->Word(KernelGuest::kData + 0x10) & 0xffffffff,
              0x0badcafeu);
    ASSERT_OK_AND_ASSIGN(const kvm_regs* const regs, vcpu_->Registers());
    EXPECT_EQ(regs->rax, 0x0badcafeu);
  }

  void SetHalf(uint64_t address, uint64_t value) {
    ASSERT_TRUE(guest_->memory().Store<uint32_t>(Gpa(address),
                                                 static_cast<uint32_t>(value)));
  }

  std::unique_ptr<KernelGuest> guest_;
  Vcpu* vcpu_ = nullptr;
};

TEST_F(LegacyPagingTest, TwoLevelsOf32Bits) {
  Start(/*cr4=*/0x10);  // PSE
  if (IsSkipped() || HasFatalFailure()) return;
  SetHalf(kRoot, 0 | kLarge | kPresentWritable);  // 4 MiB as they are
  SetHalf(kRoot + 4, kLast | kPresentWritable);
  SetHalf(kLast, KernelGuest::kData | kPresentWritable);
  ExpectThePageToBeData();
}

TEST_F(LegacyPagingTest, ThreeLevelsOfPae) {
  Start(/*cr4=*/0x20);  // PAE
  if (IsSkipped() || HasFatalFailure()) return;
  guest_->SetWord(kRoot, kMiddle | 1);
  guest_->SetWord(kMiddle, 0 | kLarge | kPresentWritable);  // 2 MiB
  guest_->SetWord(kMiddle + 2 * 8, kLast | kPresentWritable);
  guest_->SetWord(kLast, KernelGuest::kData | kPresentWritable);
  ExpectThePageToBeData();
}

}  // namespace
}  // namespace libvmm
