// SPDX-License-Identifier: Apache-2.0
// KVM_EXIT_HYPERCALL: KVM_HC_MAP_GPA_RANGE goes to the host when
// KVM_CAP_EXIT_HYPERCALL says so (Linux Documentation/virt/kvm/x86/
// hypercalls.rst). A KVM that emulates the kernel may never come back from the
// instruction, so it is not tried there.
#include <cpuid.h>

#include <memory>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/vm_capabilities.h"
#include "libvmm/testing/guest_code.h"
#include "libvmm/testing/kernel_guest.h"
#include "libvmm/testing/kvm_available.h"
#include "libvmm/testing/status_matchers.h"
#include "libvmm/testing/stock_kvm.h"

namespace libvmm {
namespace {

using ::libvmm::testing::EmulatesKernelMode;
using ::libvmm::testing::KernelGuest;

// linux/kvm_para.h.
constexpr uint64_t kMapGpaRange = 12;
constexpr int64_t kNoSuchCall = -1000;  // KVM_ENOSYS
constexpr int64_t kNotPermitted = -1;   // KVM_EPERM

LIBVMM_GUEST_CODE(kVmcall, 64, R"(
1:
  vmcall                   # 3 bytes
  out %eax, $0xf4
  jmp 1b
)");
LIBVMM_GUEST_CODE(kVmmcall, 64, R"(
1:
  vmmcall                  # 3 bytes
  out %eax, $0xf4
  jmp 1b
)");

bool IsIntel() {
  unsigned eax = 0;
  unsigned ebx = 0;
  unsigned ecx = 0;
  unsigned edx = 0;
  return __get_cpuid(0, &eax, &ebx, &ecx, &edx) != 0 &&
         ebx == signature_INTEL_ebx;
}

class HypercallTest : public ::testing::Test {
 protected:
  void SetUp() override {
    LIBVMM_NEEDS_KVM();
    ASSERT_OK_AND_ASSIGN(const bool emulated, EmulatesKernelMode());
    LIBVMM_NEEDS_STOCK_KVM(!emulated, "hypercalls at CPL 0 never return");
    ASSERT_OK_AND_ASSIGN(guest_, KernelGuest::Create({}));
    LIBVMM_NEEDS_STOCK_KVM(
        guest_->kvm().features().has(Feature::kExitHypercall),
        "no KVM_CAP_EXIT_HYPERCALL");
    guest_->Put(KernelGuest::kCode, IsIntel() ? kVmcall : kVmmcall);
  }

  void Start(Privilege privilege) {
    ASSERT_OK_AND_ASSIGN(vcpu_, guest_->AddVcpu(0));
    ASSERT_OK(guest_->Start(*vcpu_, {.privilege = privilege}));
    ASSERT_OK_AND_ASSIGN(kvm_regs* const regs, vcpu_->MutableRegisters());
    regs->rax = kMapGpaRange;
    regs->rbx = KernelGuest::kData;  // gpa
    regs->rcx = 3;                   // pages
    regs->rdx = 0x10;                // attributes: encrypted
  }

  std::unique_ptr<KernelGuest> guest_;
  Vcpu* vcpu_ = nullptr;
};

TEST_F(HypercallTest, ExitsWithItsArgumentsAndReturnsTheHostsResult) {
  ASSERT_OK(SetHypercallExits(guest_->vm(), 1 << kMapGpaRange));
  Start(Privilege::kKernel);
  ASSERT_OK_AND_ASSIGN(const Exit exit, guest_->Run(*vcpu_));
  ASSERT_EQ(exit.reason(), ExitReason::kHypercall);
  const HypercallExit call = exit.hypercall();
  EXPECT_EQ(call.number, kMapGpaRange);
  EXPECT_EQ(call.arguments[0], KernelGuest::kData);
  EXPECT_EQ(call.arguments[1], 3u);
  EXPECT_EQ(call.arguments[2], 0x10u);
  EXPECT_NE(call.flags & 1, 0u);  // KVM_EXIT_HYPERCALL_LONG_MODE
  exit.CompleteHypercall(0x1234567);
  ASSERT_OK_AND_ASSIGN(const uint32_t result, guest_->RunToPort(*vcpu_));
  EXPECT_EQ(result, 0x1234567u);
  ASSERT_OK_AND_ASSIGN(const kvm_regs* const regs, vcpu_->Registers());
  EXPECT_EQ(regs->rax, 0x1234567u);
}

TEST_F(HypercallTest, RetireFinishesIt) {
  ASSERT_OK(SetHypercallExits(guest_->vm(), 1 << kMapGpaRange));
  Start(Privilege::kKernel);
  ASSERT_OK_AND_ASSIGN(const Exit exit, guest_->Run(*vcpu_));
  ASSERT_EQ(exit.reason(), ExitReason::kHypercall);
  exit.CompleteHypercall(5);
  ASSERT_OK_AND_ASSIGN(const Exit retired, vcpu_->Retire());
  EXPECT_EQ(retired.reason(), ExitReason::kInterrupted);
  ASSERT_OK_AND_ASSIGN(const kvm_regs* const regs, vcpu_->Registers());
  EXPECT_EQ(regs->rip, KernelGuest::kCode + 3);
  EXPECT_EQ(regs->rax, 5u);
}

TEST_F(HypercallTest, KvmAnswersWithoutTheCapability) {
  Start(Privilege::kKernel);
  ASSERT_OK_AND_ASSIGN(const uint32_t result, guest_->RunToPort(*vcpu_));
  EXPECT_EQ(static_cast<int32_t>(result), kNoSuchCall);
}

TEST_F(HypercallTest, IsNotForUserMode) {
  ASSERT_OK(SetHypercallExits(guest_->vm(), 1 << kMapGpaRange));
  Start(Privilege::kUser);
  ASSERT_OK_AND_ASSIGN(const uint32_t result, guest_->RunToPort(*vcpu_));
  EXPECT_EQ(static_cast<int32_t>(result), kNotPermitted);
}

}  // namespace
}  // namespace libvmm
