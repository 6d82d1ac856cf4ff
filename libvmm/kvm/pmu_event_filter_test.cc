// SPDX-License-Identifier: Apache-2.0
#include "libvmm/kvm/pmu_event_filter.h"

#include <cstdint>
#include <vector>

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

// KVM_SET_PMU_EVENT_FILTER, with the architectural event "unhalted core
// cycles".
TEST(PmuEventFilterTest, FilterIsTakenOrNamesItsCapability) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(TestVm test, TestVm::Create());
  const absl::Status status = SetPmuEventFilter(
      test.vm(), {.action = PmuEventFilter::Action::kDeny, .events = {0x003c}});
  if (test.vm().CheckExtension(KVM_CAP_PMU_EVENT_FILTER) == 0) {
    EXPECT_THAT(status, StatusIs(absl::StatusCode::kUnimplemented,
                                 HasSubstr("KVM_CAP_PMU_EVENT_FILTER")));
    return;
  }
  EXPECT_OK(status);
  EXPECT_OK(SetPmuEventFilter(test.vm(), {.fixed_counters = 7}));
}

TEST(PmuEventFilterTest, CountOfEventsIsBounded) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(TestVm test, TestVm::Create());
  if (test.vm().CheckExtension(KVM_CAP_PMU_EVENT_FILTER) == 0) {
    GTEST_SKIP() << "this KVM has no PMU event filter";
  }
  EXPECT_OK(SetPmuEventFilter(test.vm(),
                              {.events = std::vector<uint64_t>(300, 0x003c)}));
  EXPECT_THAT(SetPmuEventFilter(test.vm(),
                                {.events = std::vector<uint64_t>(301, 0x003c)}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("301")));
}

TEST(PmuEventFilterTest, MaskedEventsNeedTheirCapability) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(TestVm test, TestVm::Create());
  const absl::Status status =
      SetPmuEventFilter(test.vm(), {.events = {0x003c}, .masked = true});
  if (test.vm().CheckExtension(KVM_CAP_PMU_EVENT_MASKED_EVENTS) == 0) {
    EXPECT_THAT(status, StatusIs(absl::StatusCode::kUnimplemented,
                                 HasSubstr("KVM_CAP_PMU_EVENT_")));
  } else {
    EXPECT_OK(status);
  }
}

}  // namespace
}  // namespace libvmm
