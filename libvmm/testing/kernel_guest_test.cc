// SPDX-License-Identifier: Apache-2.0
#include "libvmm/testing/kernel_guest.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/boot/gdt.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/testing/guest_code.h"
#include "libvmm/testing/kvm_available.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm::testing {
namespace {

LIBVMM_GUEST_CODE(kNames, 64, R"(
  mov $CODE, %eax
  out %eax, $0xf4
  mov $CODE2, %eax
  out %eax, $0xf4
  mov $DATA, %eax
  out %eax, $0xf4
)");

TEST(KernelGuestTest, GuestCodeHasTheSameNames) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(auto guest, KernelGuest::Create({}));
  guest->Put(KernelGuest::kCode, kNames);
  ASSERT_OK_AND_ASSIGN(Vcpu* const vcpu, guest->AddVcpu(0));
  ASSERT_OK(guest->Start(*vcpu));
  for (const uint64_t address :
       {KernelGuest::kCode, KernelGuest::kCode2, KernelGuest::kData}) {
    ASSERT_OK_AND_ASSIGN(const uint32_t value, guest->RunToPort(*vcpu));
    EXPECT_EQ(value, address);
  }
}

LIBVMM_GUEST_CODE(kTouchTheHole, 64, R"(
  ud2
  mov $7, %al
  out %al, $0xf4
)");

TEST(KernelGuestTest, TrapIsCountedLoggedAndReturnsWhereTold) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(auto guest, KernelGuest::Create({}));
  guest->Put(KernelGuest::kCode, kTouchTheHole);
  ASSERT_OK_AND_ASSIGN(Vcpu* const vcpu, guest->AddVcpu(0));
  ASSERT_OK(guest->Start(*vcpu));
  ASSERT_OK_AND_ASSIGN(const KernelGuest::Trap trap, guest->RunToTrap(*vcpu));
  EXPECT_EQ(trap.vector, 6u);
  EXPECT_EQ(trap.error_code, 0u);
  EXPECT_EQ(trap.rip, KernelGuest::kCode);
  EXPECT_EQ(trap.cs, Gdt::kKernelCode64);
  EXPECT_EQ(guest->TrapCount(6), 1u);
  guest->ReturnTo(trap, trap.rip + 2);
  ASSERT_OK_AND_ASSIGN(const uint32_t value, guest->RunToPort(*vcpu));
  EXPECT_EQ(value, 7u);
}

TEST(KernelGuestTest, AnotherExitIsDescribed) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(auto guest, KernelGuest::Create({}));
  guest->Put(KernelGuest::kCode, kTouchTheHole);
  ASSERT_OK_AND_ASSIGN(Vcpu* const vcpu, guest->AddVcpu(0));
  ASSERT_OK(guest->Start(*vcpu));
  EXPECT_THAT(guest->RunToPort(*vcpu),
              StatusIs(absl::StatusCode::kInternal,
                       ::testing::HasSubstr("trap 6, error code 0x0, at rip "
                                            "0x10000")));
}

}  // namespace
}  // namespace libvmm::testing
