// SPDX-License-Identifier: Apache-2.0
#include "libvmm/kvm/pre_fault.h"

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

TEST(PreFaultMemoryTest, RangeThatIsNotWholePagesIsRefused) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(RealModeGuest guest, RealModeGuest::Create({0xf4}));
  for (const GpaRange range :
       {GpaRange{Gpa(0), 0}, GpaRange{Gpa(0), 1}, GpaRange{Gpa(1), 4096},
        GpaRange{Gpa(~uint64_t{0xfff}), 8192}}) {
    EXPECT_THAT(
        PreFaultMemory(guest.vcpu(), range),
        StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("whole pages")));
  }
}

TEST(PreFaultMemoryTest, PopulatesTheRangeOrNamesItsCapability) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(RealModeGuest guest, RealModeGuest::Create({0xf4}));
  const absl::StatusOr<GpaRange> rest = PreFaultMemory(
      guest.vcpu(), {.start = Gpa(0), .size = RealModeGuest::kMemorySize});
  if (guest.vm().CheckExtension(KVM_CAP_PRE_FAULT_MEMORY) == 0) {
    EXPECT_THAT(rest, StatusIs(absl::StatusCode::kUnimplemented,
                               HasSubstr("KVM_CAP_PRE_FAULT_MEMORY")));
  } else {
    ASSERT_OK(rest);
    EXPECT_EQ(rest->size, 0u);
  }
}

}  // namespace
}  // namespace libvmm
