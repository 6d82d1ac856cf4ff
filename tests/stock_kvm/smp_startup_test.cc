// SPDX-License-Identifier: Apache-2.0
// Three application processors brought up by the bootstrap processor with INIT
// and SIPI (Intel SDM volume 3, chapter 9.4), from real mode to long mode.
#include <array>
#include <cstring>
#include <memory>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/vcpu_state.h"
#include "libvmm/testing/guest_code.h"
#include "libvmm/testing/kernel_guest.h"
#include "libvmm/testing/kvm_available.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm {
namespace {

using ::libvmm::testing::KernelGuest;

constexpr uint32_t kProcessors = 3;
constexpr uint64_t kTrampoline = 0x8000;  // SIPI vector 8
constexpr uint64_t kIncrements = 3000;    // as in kIncrement

// The bootstrap processor: ICR to all but itself, INIT and then SIPI, with a
// report before each and behind.
LIBVMM_GUEST_CODE(kBootstrap, 64, R"(
  out %al, $0xf4
  mov $0xfee00000, %ebp
  movl $0xc4500, 0x300(%rbp)
  out %al, $0xf4
  movl $0xc4608, 0x300(%rbp)
  out %al, $0xf4
  mov $3000, %ecx
1:
  lock incq DATA
  loop 1b
  out %al, $0xf4
)");

// The others: CS is 0x800. They take over the bootstrap processor's GDT, whose
// register is at DATA + 0x10, and page tables, whose root is at DATA + 0x20.
// Each reports its APIC id, then the end of its work.
LIBVMM_GUEST_CODE(kProcessor, 16, R"(
  cli
  mov $0x2000, %ax         # DATA is at 2000:0
  mov %ax, %ds
  lgdtl 0x10
  mov 0x20, %edi
  mov %cr0, %eax
  or $1, %eax
  mov %eax, %cr0
  ljmpl $0x08, $(1f - kProcessor_start + 0x8000)
  .code32
1:
  mov $0x18, %eax
  mov %eax, %ds
  mov %eax, %ss
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
  ljmpl $0x10, $(1f - kProcessor_start + 0x8000)
  .code64
1:
  mov $0xfee00000, %ebp
  mov 0x20(%rbp), %eax
  shr $24, %eax
  out %eax, $0xf4
  mov $3000, %ecx
1:
  lock incq DATA
  loop 1b
  out %al, $0xf4
)");

class SmpStartupTest : public ::testing::Test {
 protected:
  void SetUp() override {
    LIBVMM_NEEDS_KVM();
    ASSERT_OK_AND_ASSIGN(
        guest_,
        KernelGuest::Create({.controller = KernelGuest::Controller::kFull}));
    guest_->Put(KernelGuest::kCode, kBootstrap);
    guest_->Put(kTrampoline, kProcessor);
    ASSERT_OK_AND_ASSIGN(bootstrap_, guest_->AddVcpu(0));
    ASSERT_OK(guest_->Start(*bootstrap_));
    ASSERT_OK(
        guest_->EnableLocalApic(*bootstrap_, KernelGuest::ApicMode::kXapic));
    for (uint32_t id = 1; id <= kProcessors; ++id) {
      ASSERT_OK_AND_ASSIGN(Vcpu* const vcpu, guest_->AddVcpu(id));
      processors_.push_back(vcpu);
    }
    ASSERT_OK_AND_ASSIGN(const kvm_sregs* const sregs,
                         bootstrap_->SpecialRegisters());
    guest_->SetWord(KernelGuest::kData + 0x10,
                    sregs->gdt.limit | sregs->gdt.base << 16);
    guest_->SetWord(KernelGuest::kData + 0x18, sregs->gdt.base >> 48);
    guest_->SetWord(KernelGuest::kData + 0x20, sregs->cr3);
  }

  void ExpectAll(uint32_t mp_state) {
    for (Vcpu* const vcpu : processors_) {
      ASSERT_OK_AND_ASSIGN(const kvm_mp_state state,
                           GetVcpuState<kvm_mp_state>(*vcpu));
      EXPECT_EQ(state.mp_state, mp_state) << "vCPU " << vcpu->id();
    }
  }

  std::unique_ptr<KernelGuest> guest_;
  Vcpu* bootstrap_ = nullptr;
  std::vector<Vcpu*> processors_;
};

TEST_F(SmpStartupTest, ProcessorsWaitForInitAndSipi) {
  ASSERT_OK(guest_->RunToPort(*bootstrap_));
  ExpectAll(KVM_MP_STATE_UNINITIALIZED);
  ASSERT_OK(guest_->RunToPort(*bootstrap_));  // INIT is sent
  ExpectAll(KVM_MP_STATE_INIT_RECEIVED);
  ASSERT_OK(guest_->RunToPort(*bootstrap_));  // SIPI is sent
  ExpectAll(KVM_MP_STATE_RUNNABLE);
  for (Vcpu* const vcpu : processors_) {
    ASSERT_OK_AND_ASSIGN(const kvm_sregs* const sregs,
                         vcpu->SpecialRegisters());
    EXPECT_EQ(sregs->cs.selector, kTrampoline >> 4);
    EXPECT_EQ(sregs->cs.base, kTrampoline);
    EXPECT_EQ(sregs->cr0 & 1, 0u);
    ASSERT_OK_AND_ASSIGN(const kvm_regs* const regs, vcpu->Registers());
    EXPECT_EQ(regs->rip, 0u);
  }
}

// All four at once, the three waiting inside KVM_RUN.
TEST_F(SmpStartupTest, EachReportsItsIdAndCountsExactly) {
  std::array<absl::StatusOr<uint32_t>, kProcessors> ids;
  std::array<absl::StatusOr<uint32_t>, kProcessors> ends;
  std::vector<std::thread> threads;
  for (uint32_t i = 0; i < kProcessors; ++i) {
    threads.emplace_back([this, &ids, &ends, i] {
      ids[i] = guest_->RunToPort(*processors_[i]);
      if (ids[i].ok()) ends[i] = guest_->RunToPort(*processors_[i]);
    });
  }
  absl::Status bootstrap;
  for (int report = 0; report < 4 && bootstrap.ok(); ++report) {
    bootstrap = guest_->RunToPort(*bootstrap_).status();
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_OK(bootstrap);
  for (uint32_t i = 0; i < kProcessors; ++i) {
    ASSERT_OK(ids[i]);
    EXPECT_EQ(*ids[i], i + 1);
    EXPECT_OK(ends[i]);
  }
  EXPECT_EQ(guest_->Word(KernelGuest::kData), kIncrements * (kProcessors + 1));
}

}  // namespace
}  // namespace libvmm
