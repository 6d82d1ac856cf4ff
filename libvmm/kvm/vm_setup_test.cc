// SPDX-License-Identifier: Apache-2.0
#include "libvmm/kvm/vm_setup.h"

#include <cstdint>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/testing/kvm_available.h"
#include "libvmm/testing/status_matchers.h"
#include "libvmm/testing/test_vm.h"

namespace libvmm {
namespace {

using ::libvmm::testing::StatusIs;
using ::libvmm::testing::TestVm;
using ::testing::HasSubstr;

// KVM_SET_TSS_ADDR, KVM_SET_IDENTITY_MAP_ADDR
TEST(VmSetupTest, UsualPlacesAreTaken) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(TestVm test, TestVm::Create());
  EXPECT_OK(SetIdentityMapAddress(test.vm(), Gpa(0xfffbc000)));
  EXPECT_OK(SetTssAddress(test.vm(), Gpa(0xfffbd000)));
  ASSERT_OK(test.AddRamWithCode({0xf4}));
  ASSERT_OK_AND_ASSIGN(Vcpu vcpu, test.MakeVcpu());
  ASSERT_OK_AND_ASSIGN(Exit exit, vcpu.Run());
  EXPECT_EQ(exit.reason(), ExitReason::kHalt);
}

TEST(VmSetupTest, PlacesThatCannotBeAreInvalid) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(TestVm test, TestVm::Create());
  const uint64_t bad[] = {
      0xfffbd800,       // not page aligned
      0xffffe000,       // three pages reach past 4 GiB
      0x1'0000'0000,    // above 4 GiB
      ~uint64_t{4095},  // wraps
      0xfee00000,       // local APIC
      0xfedfe000,       // its third page is the local APIC
      0xfec00000,       // IOAPIC
  };
  for (const uint64_t gpa : bad) {
    EXPECT_THAT(SetTssAddress(test.vm(), Gpa(gpa)),
                StatusIs(absl::StatusCode::kInvalidArgument))
        << gpa;
  }
  EXPECT_THAT(SetIdentityMapAddress(test.vm(), Gpa(0xfee00000)),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("identity map at 0xfee00000")));
}

TEST(VmSetupTest, IdentityMapAfterTheFirstVcpuIsTooLate) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(TestVm test, TestVm::Create());
  ASSERT_OK_AND_ASSIGN(Vcpu vcpu, test.MakeVcpu());
  EXPECT_THAT(SetIdentityMapAddress(test.vm(), Gpa(0xfffbc000)),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("KVM_SET_IDENTITY_MAP_ADDR")));
}

// KVM_SET_BOOT_CPU_ID
TEST(VmSetupTest, BootVcpuIsChosenBeforeTheFirst) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(TestVm test, TestVm::Create());
  ASSERT_OK(SetBootVcpuId(test.vm(), 1));
  ASSERT_OK_AND_ASSIGN(Vcpu vcpu, test.MakeVcpu(1));
  // Bit 8 of the APIC base marks the bootstrap processor.
  ASSERT_OK_AND_ASSIGN(const kvm_sregs* sregs, vcpu.SpecialRegisters());
  EXPECT_EQ(sregs->apic_base & 0x100, 0x100u);
  EXPECT_THAT(SetBootVcpuId(test.vm(), 0),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr("KVM_SET_BOOT_CPU_ID")));
}

// KVM_SET_NR_MMU_PAGES, KVM_GET_NR_MMU_PAGES
TEST(VmSetupTest, MmuPageLimitIsTakenAndReadWhereTheCallExists) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(TestVm test, TestVm::Create());
  ASSERT_OK(SetMmuPageLimit(test.vm(), 100));
  const absl::StatusOr<uint32_t> limit = GetMmuPageLimit(test.vm());
  if (limit.ok()) {
    EXPECT_EQ(*limit, 100u);
  } else {
    EXPECT_THAT(limit, StatusIs(absl::StatusCode::kUnimplemented,
                                HasSubstr("KVM_GET_NR_MMU_PAGES")));
  }
  EXPECT_THAT(SetMmuPageLimit(test.vm(), 63),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

// KVM_GET_TSC_KHZ, KVM_SET_TSC_KHZ on the VM
TEST(VmSetupTest, TscFrequencyOfTheHostIsReadAndSet) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(TestVm test, TestVm::Create());
  const absl::StatusOr<uint32_t> khz = GetVmTscKhz(test.vm());
  if (absl::IsUnimplemented(khz.status())) {
    EXPECT_THAT(SetVmTscKhz(test.vm(), 1'000'000),
                StatusIs(absl::StatusCode::kUnimplemented,
                         HasSubstr("KVM_CAP_VM_TSC_CONTROL")));
    GTEST_SKIP() << khz.status().message();
  }
  ASSERT_OK(khz);
  ASSERT_GT(*khz, 0u);
  ASSERT_OK(SetVmTscKhz(test.vm(), *khz));
  ASSERT_OK_AND_ASSIGN(const uint32_t again, GetVmTscKhz(test.vm()));
  EXPECT_EQ(again, *khz);
  EXPECT_THAT(SetVmTscKhz(test.vm(), 0),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace libvmm
