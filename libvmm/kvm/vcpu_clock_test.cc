// SPDX-License-Identifier: Apache-2.0
#include "libvmm/kvm/vcpu_clock.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/testing/kvm_available.h"
#include "libvmm/testing/real_mode_guest.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm {
namespace {

using ::libvmm::testing::RealModeGuest;
using ::libvmm::testing::StatusIs;
using ::testing::HasSubstr;

TEST(VcpuClockTest, FrequencyComesBackAsSet) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(RealModeGuest guest, RealModeGuest::Create({0xf4}));
  ASSERT_OK_AND_ASSIGN(const uint32_t khz, GetTscKhz(guest.vcpu()));
  EXPECT_GT(khz, 0u);
  ASSERT_OK(SetTscKhz(guest.vcpu(), khz));
  ASSERT_OK_AND_ASSIGN(const uint32_t same, GetTscKhz(guest.vcpu()));
  EXPECT_EQ(same, khz);
}

TEST(VcpuClockTest, FrequencyBelowTheHostsNeedsScaling) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(RealModeGuest guest, RealModeGuest::Create({0xf4}));
  ASSERT_OK_AND_ASSIGN(const uint32_t khz, GetTscKhz(guest.vcpu()));
  const absl::Status status = SetTscKhz(guest.vcpu(), khz / 2);
  if (guest.vm().CheckExtension(KVM_CAP_TSC_CONTROL) != 0) {
    EXPECT_OK(status);
  } else {
    EXPECT_THAT(status, StatusIs(absl::StatusCode::kInvalidArgument,
                                 HasSubstr("KVM_CAP_TSC_CONTROL")));
  }
}

TEST(VcpuClockTest, OffsetComesBackAsSetOrNamesItsCapability) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(RealModeGuest guest, RealModeGuest::Create({0xf4}));
  if (guest.vm().CheckExtension(KVM_CAP_VCPU_ATTRIBUTES) == 0) {
    const auto missing = StatusIs(absl::StatusCode::kUnimplemented,
                                  HasSubstr("KVM_CAP_VCPU_ATTRIBUTES"));
    EXPECT_THAT(GetTscOffset(guest.vcpu()), missing);
    EXPECT_THAT(SetTscOffset(guest.vcpu(), 0), missing);
    EXPECT_THAT(KeepsTscOffset(guest.vcpu()), missing);
    return;
  }
  ASSERT_OK_AND_ASSIGN(const bool kept, KeepsTscOffset(guest.vcpu()));
  ASSERT_OK_AND_ASSIGN(const uint64_t offset, GetTscOffset(guest.vcpu()));
  ASSERT_OK(SetTscOffset(guest.vcpu(), offset - 1'000'000'000));
  ASSERT_OK_AND_ASSIGN(const uint64_t read, GetTscOffset(guest.vcpu()));
  EXPECT_EQ(kept, read != offset);
  if (!kept) {
    GTEST_SKIP() << "this KVM accepts a TSC offset and keeps none";
  }
  EXPECT_EQ(read, offset - 1'000'000'000);
}

TEST(VcpuClockTest, GuestWithoutKvmclockCannotBeToldOfAPause) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(RealModeGuest guest, RealModeGuest::Create({0xf4}));
  ASSERT_OK_AND_ASSIGN(const bool told, NotifyGuestPaused(guest.vcpu()));
  EXPECT_FALSE(told);
}

}  // namespace
}  // namespace libvmm
