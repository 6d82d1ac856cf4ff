// SPDX-License-Identifier: Apache-2.0
#include "libvmm/kvm/vm_clock.h"

#include <time.h>

#include <cstdint>

#include "gtest/gtest.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/testing/kvm_available.h"
#include "libvmm/testing/status_matchers.h"
#include "libvmm/testing/test_vm.h"

namespace libvmm {
namespace {

using ::libvmm::testing::TestVm;

constexpr uint64_t kHour = uint64_t{3600} * 1'000'000'000;

uint64_t HostRealtime() {
  timespec now = {};
  clock_gettime(CLOCK_REALTIME, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 +
         static_cast<uint64_t>(now.tv_nsec);
}

// KVM_SET_CLOCK, KVM_GET_CLOCK
TEST(VmClockTest, ClockGoesOnFromWhereItWasSet) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(TestVm test, TestVm::Create());
  ASSERT_OK_AND_ASSIGN(const VmClockReading fresh, GetVmClock(test.vm()));
  EXPECT_LT(fresh.nanoseconds, kHour);
  ASSERT_OK(SetVmClock(test.vm(), {.nanoseconds = 10 * kHour}));
  ASSERT_OK_AND_ASSIGN(const VmClockReading first, GetVmClock(test.vm()));
  ASSERT_OK_AND_ASSIGN(const VmClockReading second, GetVmClock(test.vm()));
  EXPECT_GE(first.nanoseconds, 10 * kHour);
  EXPECT_LT(first.nanoseconds, 11 * kHour);
  EXPECT_GE(second.nanoseconds, first.nanoseconds);
}

// The hour that has passed on the host since is added.
TEST(VmClockTest, PassedRealTimeIsAdded) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(TestVm test, TestVm::Create());
  const absl::Status status = SetVmClock(
      test.vm(),
      {.nanoseconds = 10 * kHour, .host_realtime = HostRealtime() - kHour});
  if (absl::IsUnimplemented(status)) GTEST_SKIP() << status.message();
  ASSERT_OK(status);
  ASSERT_OK_AND_ASSIGN(const VmClockReading reading, GetVmClock(test.vm()));
  EXPECT_GE(reading.nanoseconds, 11 * kHour);
  EXPECT_LT(reading.nanoseconds, 12 * kHour);
}

}  // namespace
}  // namespace libvmm
