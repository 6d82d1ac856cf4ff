// SPDX-License-Identifier: Apache-2.0
// MSR accesses that come to the host: filtered and unknown ones, answered with
// a value, accepted, or refused with #GP.
#include <memory>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/msr_filter.h"
#include "libvmm/kvm/msrs.h"
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

constexpr uint32_t kSysenterCs = 0x174;
constexpr uint32_t kSysenterEip = 0x176;
// No processor and no KVM has it.
constexpr uint32_t kNoMsr = 0x4b564dff;

// Reads the MSR in ECX and reports both halves.
LIBVMM_GUEST_CODE(kRead, 64, R"(
  rdmsr                    # 2 bytes
  out %eax, $0xf4
  mov %edx, %eax
  out %eax, $0xf4
)");

// Writes EDX:EAX to the MSR in ECX and reports.
LIBVMM_GUEST_CODE(kWrite, 64, R"(
  wrmsr                    # 2 bytes
  out %al, $0xf4
)");

class MsrExitsTest : public ::testing::Test {
 protected:
  void Start(GuestCode code, uint32_t msr, uint64_t value = 0) {
    LIBVMM_NEEDS_KVM();
    ASSERT_OK_AND_ASSIGN(guest_, KernelGuest::Create({}));
    ASSERT_OK(SetMsrExits(guest_->vm(), KVM_MSR_EXIT_REASON_FILTER |
                                            KVM_MSR_EXIT_REASON_UNKNOWN |
                                            KVM_MSR_EXIT_REASON_INVAL));
    guest_->Put(KernelGuest::kCode, code);
    ASSERT_OK_AND_ASSIGN(vcpu_, guest_->AddVcpu(0));
    ASSERT_OK(guest_->Start(*vcpu_));
    ASSERT_OK_AND_ASSIGN(kvm_regs* const regs, vcpu_->MutableRegisters());
    regs->rcx = msr;
    regs->rax = value & 0xffffffff;
    regs->rdx = value >> 32;
  }

  // 0x174 may be read, 0x175 be written, 0x176 neither.
  void Filter() {
    ASSERT_OK(SetMsrFilter(guest_->vm(), {.ranges = {{.first_msr = kSysenterCs,
                                                      .count = 3,
                                                      .writes = false,
                                                      .allowed = {0b001}}}}));
  }
  void FilterWrites() {
    ASSERT_OK(SetMsrFilter(guest_->vm(), {.ranges = {{.first_msr = kSysenterCs,
                                                      .count = 3,
                                                      .reads = false,
                                                      .allowed = {0b010}}}}));
  }

  void ExpectFault() {
    ASSERT_OK_AND_ASSIGN(const Trap trap, guest_->RunToTrap(*vcpu_));
    EXPECT_EQ(trap.vector, 13u);
    EXPECT_EQ(trap.error_code, 0u);
    EXPECT_EQ(trap.rip, KernelGuest::kCode);
  }

  std::unique_ptr<KernelGuest> guest_;
  Vcpu* vcpu_ = nullptr;
};

TEST_F(MsrExitsTest, FilteredReadTakesTheHostsValue) {
  Start(kRead, kSysenterEip);
  if (IsSkipped() || HasFatalFailure()) return;
  Filter();
  ASSERT_OK_AND_ASSIGN(const Exit exit, guest_->Run(*vcpu_));
  ASSERT_EQ(exit.reason(), ExitReason::kRdmsr);
  EXPECT_EQ(exit.msr().index, kSysenterEip);
  EXPECT_EQ(exit.msr().reason,
            static_cast<uint32_t>(KVM_MSR_EXIT_REASON_FILTER));
  exit.CompleteRdmsr(0x1122334455667788);
  ASSERT_OK_AND_ASSIGN(const uint32_t low, guest_->RunToPort(*vcpu_));
  EXPECT_EQ(low, 0x55667788u);
  ASSERT_OK_AND_ASSIGN(const uint32_t high, guest_->RunToPort(*vcpu_));
  EXPECT_EQ(high, 0x11223344u);
}

TEST_F(MsrExitsTest, ReadThatIsRefusedFaults) {
  Start(kRead, kSysenterEip);
  if (IsSkipped() || HasFatalFailure()) return;
  Filter();
  ASSERT_OK_AND_ASSIGN(const Exit exit, guest_->Run(*vcpu_));
  ASSERT_EQ(exit.reason(), ExitReason::kRdmsr);
  exit.FailMsr();
  ExpectFault();
}

TEST_F(MsrExitsTest, AllowedReadDoesNotExit) {
  Start(kRead, kSysenterCs);
  if (IsSkipped() || HasFatalFailure()) return;
  Filter();
  ASSERT_OK(SetMsr(*vcpu_, {kSysenterCs, 0x10}));
  ASSERT_OK_AND_ASSIGN(const uint32_t low, guest_->RunToPort(*vcpu_));
  EXPECT_EQ(low, 0x10u);
}

TEST_F(MsrExitsTest, FilteredWriteArrivesAndStaysWithTheHost) {
  Start(kWrite, kSysenterEip, 0x1122334455667788);
  if (IsSkipped() || HasFatalFailure()) return;
  FilterWrites();
  ASSERT_OK_AND_ASSIGN(const Exit exit, guest_->Run(*vcpu_));
  ASSERT_EQ(exit.reason(), ExitReason::kWrmsr);
  EXPECT_EQ(exit.msr().index, kSysenterEip);
  EXPECT_EQ(exit.msr().reason,
            static_cast<uint32_t>(KVM_MSR_EXIT_REASON_FILTER));
  EXPECT_EQ(exit.msr().value, 0x1122334455667788u);
  ASSERT_OK(guest_->RunToPort(*vcpu_));
  ASSERT_OK_AND_ASSIGN(const uint64_t value, GetMsr(*vcpu_, kSysenterEip));
  EXPECT_EQ(value, 0u);
}

TEST_F(MsrExitsTest, WriteThatIsRefusedFaults) {
  Start(kWrite, kSysenterEip, 1);
  if (IsSkipped() || HasFatalFailure()) return;
  FilterWrites();
  ASSERT_OK_AND_ASSIGN(const Exit exit, guest_->Run(*vcpu_));
  ASSERT_EQ(exit.reason(), ExitReason::kWrmsr);
  exit.FailMsr();
  ExpectFault();
}

// A filter that denies reads alone lets the write through to KVM.
TEST_F(MsrExitsTest, WriteThatOnlyReadsAreDeniedForReachesTheRegister) {
  Start(kWrite, kSysenterEip, 0x1234);
  if (IsSkipped() || HasFatalFailure()) return;
  Filter();
  ASSERT_OK(guest_->RunToPort(*vcpu_));
  ASSERT_OK_AND_ASSIGN(const uint64_t value, GetMsr(*vcpu_, kSysenterEip));
  EXPECT_EQ(value, 0x1234u);
}

TEST_F(MsrExitsTest, UnknownMsrExitsAndTakesAValue) {
  Start(kRead, kNoMsr);
  if (IsSkipped() || HasFatalFailure()) return;
  ASSERT_OK_AND_ASSIGN(const Exit exit, guest_->Run(*vcpu_));
  ASSERT_EQ(exit.reason(), ExitReason::kRdmsr);
  EXPECT_EQ(exit.msr().index, kNoMsr);
  // Newer kernels say "invalid" where older ones say "unknown".
  EXPECT_THAT(exit.msr().reason, ::testing::AnyOf(KVM_MSR_EXIT_REASON_UNKNOWN,
                                                  KVM_MSR_EXIT_REASON_INVAL));
  exit.CompleteRdmsr(0x77);
  ASSERT_OK_AND_ASSIGN(const uint32_t low, guest_->RunToPort(*vcpu_));
  EXPECT_EQ(low, 0x77u);
}

TEST_F(MsrExitsTest, UnknownMsrFaultsWithoutExits) {
  Start(kRead, kNoMsr);
  if (IsSkipped() || HasFatalFailure()) return;
  ASSERT_OK(SetMsrExits(guest_->vm(), 0));
  ExpectFault();
}

}  // namespace
}  // namespace libvmm
