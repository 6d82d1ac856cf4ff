// SPDX-License-Identifier: Apache-2.0
// The timer of the in-kernel local APIC: one-shot, periodic and TSC-deadline,
// programmed by MMIO and by MSR (Intel SDM volume 3, chapter 11.5.4).
#include <chrono>
#include <memory>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/cpuid.h"
#include "libvmm/kvm/features.h"
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
using ApicMode = KernelGuest::ApicMode;

constexpr uint8_t kVector = 0x40;
constexpr uint32_t kMasked = 1 << 16;
constexpr uint32_t kPeriodic = 1 << 17;
constexpr uint32_t kDeadline = 2 << 17;
constexpr uint32_t kTscDeadlineMsr = 0x6e0;
constexpr uint32_t kTscDeadlineBit = 1 << 24;  // CPUID leaf 1, ECX
// Ticks, which KVM makes nanoseconds each when the divider is 1.
constexpr uint32_t kMillisecond = 1'000'000;

// Both programs: set the divider to 1, the LVT entry to EDI and the initial
// count to ESI; halt until the handler has run R8 times; take interrupts that
// wait; report the current count; again.
LIBVMM_GUEST_CODE(kXapicProgram, 64, R"(
  mov $0xfee00000, %ebp
0:
  movl $0xb, 0x3e0(%rbp)
  mov %edi, 0x320(%rbp)
  mov %esi, 0x380(%rbp)
1:
  cli
  cmp %r8, COUNTERS + 0x40 * 8
  jae 2f
  sti
  hlt
  jmp 1b
2:
  sti
  out %al, $0xf6
  cli
  mov 0x390(%rbp), %eax
  out %eax, $0xf4
  jmp 0b
)");

LIBVMM_GUEST_CODE(kX2apicProgram, 64, R"(
0:
  xor %edx, %edx
  mov $0x83e, %ecx
  mov $0xb, %eax
  wrmsr
  mov $0x832, %ecx
  mov %edi, %eax
  wrmsr
  mov $0x838, %ecx
  mov %esi, %eax
  wrmsr
1:
  cli
  cmp %r8, COUNTERS + 0x40 * 8
  jae 2f
  sti
  hlt
  jmp 1b
2:
  sti
  out %al, $0xf6
  cli
  mov $0x839, %ecx
  rdmsr
  out %eax, $0xf4
  jmp 0b
)");

// Sets the LVT entry to EDI and the deadline to ESI ticks from now, halts until
// the handler has run, and reports 1 when it is not before the deadline.
LIBVMM_GUEST_CODE(kXapicDeadline, 64, R"(
  mov $0xfee00000, %ebp
  mov %edi, 0x320(%rbp)
  mfence
  rdtsc
  shl $32, %rdx
  or %rdx, %rax
  add %rsi, %rax
  mov %rax, %rbx
  mov %rax, %rdx
  shr $32, %rdx
  mov $0x6e0, %ecx
  wrmsr
1:
  cli
  cmpq $0, COUNTERS + 0x40 * 8
  jne 2f
  sti
  hlt
  jmp 1b
2:
  rdtsc
  shl $32, %rdx
  or %rdx, %rax
  cmp %rbx, %rax
  setae %al
  out %al, $0xf4
)");

LIBVMM_GUEST_CODE(kX2apicDeadline, 64, R"(
  mov $0x832, %ecx
  mov %edi, %eax
  xor %edx, %edx
  wrmsr
  rdtsc
  shl $32, %rdx
  or %rdx, %rax
  add %rsi, %rax
  mov %rax, %rbx
  mov %rax, %rdx
  shr $32, %rdx
  mov $0x6e0, %ecx
  wrmsr
1:
  cli
  cmpq $0, COUNTERS + 0x40 * 8
  jne 2f
  sti
  hlt
  jmp 1b
2:
  rdtsc
  shl $32, %rdx
  or %rdx, %rax
  cmp %rbx, %rax
  setae %al
  out %al, $0xf4
)");

struct Row {
  const char* name;
  ApicMode mode;
  GuestCode program;
  GuestCode deadline;
  KernelGuest::Action end_of_interrupt;
};

void PrintTo(const Row& row, std::ostream* out) { *out << row.name; }

const Row kRows[] = {
    {"Xapic", ApicMode::kXapic, kXapicProgram, kXapicDeadline,
     KernelGuest::kEndXapic},
    {"X2apic", ApicMode::kX2apic, kX2apicProgram, kX2apicDeadline,
     KernelGuest::kEndX2apic},
};

class LapicTimerTest : public ::testing::TestWithParam<Row> {
 protected:
  void Start(GuestCode code, bool with_deadline = false) {
    LIBVMM_NEEDS_KVM();
    KernelGuest::Options options = {.controller =
                                        KernelGuest::Controller::kFull};
    // The supported list may leave the bit out, as its use depends on the
    // in-kernel local APIC; KVM_CAP_TSC_DEADLINE_TIMER says that it works.
    if (with_deadline) {
      options.edit_cpuid = [](Cpuid& cpuid) {
        cpuid.SetBits({.function = 1}, CpuidRegister::kEcx, kTscDeadlineBit);
      };
    }
    ASSERT_OK_AND_ASSIGN(guest_, KernelGuest::Create(options));
    guest_->Put(KernelGuest::kCode, code);
    guest_->OnTrap(kVector, GetParam().end_of_interrupt);
    ASSERT_OK_AND_ASSIGN(vcpu_, guest_->AddVcpu(0));
    ASSERT_OK(guest_->Start(*vcpu_));
    ASSERT_OK(guest_->EnableLocalApic(*vcpu_, GetParam().mode));
  }

  // The program's next round.
  void Set(uint32_t lvt, uint32_t initial_count, uint64_t until) {
    ASSERT_OK_AND_ASSIGN(kvm_regs* const regs, vcpu_->MutableRegisters());
    regs->rdi = lvt;
    regs->rsi = initial_count;
    regs->r8 = until;
  }

  std::unique_ptr<KernelGuest> guest_;
  Vcpu* vcpu_ = nullptr;
};

INSTANTIATE_TEST_SUITE_P(Both, LapicTimerTest, ::testing::ValuesIn(kRows),
                         [](const auto& row) -> std::string {
                           return row.param.name;
                         });

TEST_P(LapicTimerTest, OneShotFiresOncePerInitialCount) {
  Start(GetParam().program);
  if (IsSkipped() || HasFatalFailure()) return;
  for (uint64_t round = 1; round <= 3; ++round) {
    Set(kVector, kMillisecond, round);
    ASSERT_OK_AND_ASSIGN(const uint32_t current, guest_->RunToPort(*vcpu_));
    EXPECT_EQ(current, 0u);
    EXPECT_EQ(guest_->TrapCount(kVector), round);
  }
}

TEST_P(LapicTimerTest, PeriodicGoesOnUntilTheCountIsZero) {
  Start(GetParam().program);
  if (IsSkipped() || HasFatalFailure()) return;
  constexpr uint64_t kPeriods = 10;
  Set(kPeriodic | kVector, kMillisecond, kPeriods);
  const auto start = std::chrono::steady_clock::now();
  ASSERT_OK_AND_ASSIGN(const uint32_t current, guest_->RunToPort(*vcpu_));
  const auto elapsed = std::chrono::steady_clock::now() - start;
  EXPECT_GE(guest_->TrapCount(kVector), kPeriods);
  EXPECT_LE(current, kMillisecond);
  // However late each comes, none comes early.
  EXPECT_GE(elapsed, std::chrono::milliseconds(kPeriods));

  Set(kPeriodic | kVector, 0, 0);
  ASSERT_OK_AND_ASSIGN(const uint32_t stopped, guest_->RunToPort(*vcpu_));
  EXPECT_EQ(stopped, 0u);
}

TEST_P(LapicTimerTest, MaskedCountsDownInSilence) {
  Start(GetParam().program);
  if (IsSkipped() || HasFatalFailure()) return;
  // A count that never ends here.
  Set(kMasked | kVector, 0xffffffff, 0);
  ASSERT_OK_AND_ASSIGN(uint32_t current, guest_->RunToPort(*vcpu_));
  EXPECT_LT(current, 0xffffffffu);
  EXPECT_GT(current, 0u);
  // And short ones.
  Set(kMasked | kVector, 1, 0);
  for (int round = 0; round < 100; ++round) {
    ASSERT_OK_AND_ASSIGN(current, guest_->RunToPort(*vcpu_));
    EXPECT_LE(current, 1u);
  }
  EXPECT_EQ(guest_->TrapCount(kVector), 0u);
}

TEST_P(LapicTimerTest, TscDeadlineFiresOnceAndNotBefore) {
  Start(GetParam().deadline, /*with_deadline=*/true);
  if (IsSkipped() || HasFatalFailure()) return;
  LIBVMM_NEEDS_STOCK_KVM(
      guest_->kvm().features().has(Feature::kTscDeadlineTimer),
      "no KVM_CAP_TSC_DEADLINE_TIMER");
  Set(kDeadline | kVector, 3 * kMillisecond, 1);
  ASSERT_OK_AND_ASSIGN(const uint32_t in_time, guest_->RunToPort(*vcpu_));
  EXPECT_EQ(in_time, 1u);
  EXPECT_EQ(guest_->TrapCount(kVector), 1u);
  ASSERT_OK_AND_ASSIGN(const uint64_t deadline,
                       GetMsr(*vcpu_, kTscDeadlineMsr));
  EXPECT_EQ(deadline, 0u);  // disarmed
}

}  // namespace
}  // namespace libvmm
