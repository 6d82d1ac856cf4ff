// SPDX-License-Identifier: Apache-2.0
#include "libvmm/kvm/mce.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/msrs.h"
#include "libvmm/testing/kvm_available.h"
#include "libvmm/testing/real_mode_guest.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm {
namespace {

using ::libvmm::testing::RealModeGuest;
using ::libvmm::testing::StatusIs;
using ::testing::HasSubstr;

// Intel SDM volume 3, section 15.3: IA32_MCG_CAP, IA32_MC2_STATUS and the VAL
// bit.
constexpr uint32_t kMcgCap = 0x179;
constexpr uint32_t kMc2Status = 0x409;
constexpr uint64_t kValid = uint64_t{1} << 63;

TEST(MceTest, BanksThatWereSetUpAreSeenAndTakeAnError) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(RealModeGuest guest, RealModeGuest::Create({0xf4}));
  ASSERT_OK_AND_ASSIGN(const uint64_t supported,
                       SupportedMceCapability(guest.kvm().fd()));
  const uint64_t wanted = (supported & ~uint64_t{0xff}) | 4;
  ASSERT_OK(SetupMce(guest.vcpu(), wanted));
  ASSERT_OK_AND_ASSIGN(const uint64_t shown, GetMsr(guest.vcpu(), kMcgCap));
  EXPECT_EQ(shown & 0xff, 4u);

  kvm_x86_mce mce = {};
  mce.bank = 2;
  mce.status = kValid | 0x150;  // a corrected cache error
  ASSERT_OK(InjectMce(guest.vcpu(), mce));
  ASSERT_OK_AND_ASSIGN(const uint64_t status, GetMsr(guest.vcpu(), kMc2Status));
  EXPECT_EQ(status, kValid | 0x150);
}

TEST(MceTest, WhatCannotBeIsRefused) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(RealModeGuest guest, RealModeGuest::Create({0xf4}));
  EXPECT_THAT(
      SetupMce(guest.vcpu(), 255),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("MCG_CAP 0xff")));
  ASSERT_OK(SetupMce(guest.vcpu(), 4));
  kvm_x86_mce mce = {};
  mce.bank = 4;
  mce.status = kValid;
  EXPECT_THAT(
      InjectMce(guest.vcpu(), mce),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("bank 4")));
  mce.bank = 0;
  mce.status = 0;
  EXPECT_THAT(
      InjectMce(guest.vcpu(), mce),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("status 0x0")));
}

TEST(MceTest, QueryOnAnotherDescriptorFails) {
  EXPECT_THAT(SupportedMceCapability(-1),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr("KVM_X86_GET_MCE_CAP_SUPPORTED")));
}

}  // namespace
}  // namespace libvmm
